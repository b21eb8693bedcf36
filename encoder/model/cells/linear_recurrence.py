"""Cells with a linear recurrence, whose gates depend on the inputs alone.

Training computes all events of a window at once, by `encoder.model.operations.parallel_scan`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.errors import InputError
from encoder.model.cells.cell import Cell
from encoder.model.operations.parallel_scan import parallel_scan

HEADS, KEYS = 4, 8  # of HGRN2: number of heads, and keys in each head; each output has a state of 8 numbers
# Added to the variance in the norm of HGRN2. Outputs near 0 would otherwise amplify rounding errors.
NORM_EPSILON = 1e-3
# Largest initial bias of a gate that keeps the state: 1 / (1 - sigmoid(4)) is a memory of some 50 events.
LONGEST_MEMORY = 4.0


class MinGRUCell(Cell):
    """minGRU (Feng et al. 2024, "Were RNNs all we needed?").

    The next state is h + z (n - h) with z = sigmoid(W x) and n = V x. The state is a moving average, so it stays within
    the range of n.
    """

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=hidden, output_width=hidden)
        self.map = nn.Linear(input_width, 2 * hidden)  # rows: update gate, new value
        with torch.no_grad():
            self.map.bias[:hidden] = torch.linspace(0.0, -LONGEST_MEMORY, hidden)

    @property
    def input_weight(self) -> Tensor:
        return self.map.weight

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        update, new = self.map(inputs).chunk(2, dim=-1)
        state = state + torch.sigmoid(update) * (new - state)
        return state, state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        update, new = self.map(inputs).chunk(2, dim=-1)
        states = parallel_scan(torch.sigmoid(-update), torch.sigmoid(update) * new, state)
        return states, states[:, -1]


class HGRN2Cell(Cell):
    """HGRN2 (Qin et al. 2024): gated linear attention (Yang et al. 2024) whose key is one minus the forget gate.

    The state of a head is a matrix M of keys by values: M(t) = diag(f) M(t-1) + (1 - f) v with f = sigmoid(W x) and
    v = V x. The query q = silu(Q x) reads the state, and the result is normalised over all heads. The tie between key
    and gate makes every row of M a moving average of v, so the state stays within the range of v for any history. The
    head of the model is the output projection.

    S = 8H. The state has the order keys, heads, values, so that consecutive numbers in memory share a key.
    """

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=hidden * KEYS, output_width=hidden)
        if hidden % HEADS:
            raise InputError(
                f"the width {hidden} of the cell 'hgrn2' is not a multiple of its {HEADS} heads: give another width"
            )
        self.values = hidden // HEADS
        self.widths = [KEYS * HEADS, KEYS * HEADS, hidden]  # rows of the map: forget gate, query, value
        self.map = nn.Linear(input_width, sum(self.widths))
        with torch.no_grad():
            self.map.bias[: KEYS * HEADS] = torch.linspace(0.0, LONGEST_MEMORY, KEYS).repeat_interleave(HEADS)

    @property
    def input_weight(self) -> Tensor:
        return self.map.weight

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, state = self.sequence(inputs.unsqueeze(1), state)
        return outputs.squeeze(1), state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        batch, steps, _ = inputs.shape
        forget, query, value = torch.split(self.map(inputs), self.widths, dim=2)
        forget, query = (part.reshape(batch, steps, KEYS, HEADS, 1) for part in (forget, query))
        value = value.reshape(batch, steps, 1, HEADS, self.values)
        before = state.reshape(batch, KEYS, HEADS, self.values)
        states = parallel_scan(torch.sigmoid(forget), torch.sigmoid(-forget) * value, before)
        read = (functional.silu(query) * states).sum(dim=2).flatten(2)
        return functional.layer_norm(read, read.shape[2:], eps=NORM_EPSILON), states[:, -1].flatten(1)
