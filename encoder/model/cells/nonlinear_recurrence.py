"""Cells with a nonlinear recurrence. Training computes one event after the other with torch's own kernels."""

import torch
from torch import Tensor, nn

from encoder.model.cells.cell import Cell


def _weights(module: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    get = module.get_parameter
    return get("weight_ih_l0"), get("weight_hh_l0"), get("bias_ih_l0"), get("bias_hh_l0")


class RNNCell(Cell):
    """Simple recurrent network (Elman 1990): next state = tanh(W x + U h + b)."""

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=hidden, output_width=hidden)
        self.rnn = nn.RNN(input_width, hidden, batch_first=True)

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(H, E) input weights, (H, H) state weights, (H,) input biases and (H,) state biases."""
        return _weights(self.rnn)

    @property
    def input_weight(self) -> Tensor:
        return self.weights()[0]

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.rnn_tanh_cell(inputs, state, *self.weights())
        return state, state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, last = self.rnn(inputs, state.unsqueeze(0).contiguous())
        return outputs, last.squeeze(0)


class LSTMCell(Cell):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    S = 2H. The state is the output followed by the memory.
    """

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=2 * hidden, output_width=hidden)
        self.lstm = nn.LSTM(input_width, hidden, batch_first=True)
        with torch.no_grad():  # the untrained forget gate keeps the memory (Jozefowicz et al. 2015)
            self.lstm.get_parameter("bias_ih_l0")[hidden : 2 * hidden] += 1.0

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(4H, E) input weights, (4H, H) state weights, (4H,) input biases and (4H,) state biases.

        The rows belong to the input gate, the forget gate, the new value and the output gate.
        """
        return _weights(self.lstm)

    @property
    def input_weight(self) -> Tensor:
        return self.weights()[0]

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, memory = torch.lstm_cell(inputs, state.chunk(2, dim=1), *self.weights())
        return output, torch.cat([output, memory], dim=1)

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, memory = (part.unsqueeze(0).contiguous() for part in state.chunk(2, dim=1))
        outputs, (output, memory) = self.lstm(inputs, (output, memory))
        return outputs, torch.cat([output[0], memory[0]], dim=1)


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014). As in cuDNN, the reset gate applies after the product with the state."""

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=hidden, output_width=hidden)
        self.gru = nn.GRU(input_width, hidden, batch_first=True)

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(3H, E) input weights, (3H, H) state weights, (3H,) input biases and (3H,) state biases.

        The rows belong to the reset gate, the update gate and the new value.
        """
        return _weights(self.gru)

    @property
    def input_weight(self) -> Tensor:
        return self.weights()[0]

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.gru_cell(inputs, state, *self.weights())
        return state, state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, last = self.gru(inputs, state.unsqueeze(0).contiguous())
        return outputs, last.squeeze(0)
