"""Recurrent cells behind one interface: a user's history in a state of constant size.

A cell has a step form, which serving exports, and a sequence form, which training runs. Both compute the same with the
same weights. A new cell is a class here, an entry in CELLS, and its graph in `export.graphs`.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from encoder.errors import InputError


class Cell(nn.Module, ABC):
    """Widths: E inputs, S state, H output."""

    def __init__(self, input_width: int, state_width: int, output_width: int) -> None:
        super().__init__()
        self.input_width = input_width
        self.state_width = state_width
        self.output_width = output_width

    def initial_state(self, batch: int) -> Tensor:
        """(batch, S) float32 state of users without history."""
        return torch.zeros(batch, self.state_width, device=next(self.parameters()).device)

    @abstractmethod
    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, E) inputs of one event, (B, S) state -> (B, H) output, (B, S) next state."""

    @abstractmethod
    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, E) inputs, (B, S) state before them -> (B, T, H) outputs, (B, S) state after all T events."""


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014), the variant with the reset gate after the product (as in cuDNN)."""

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=hidden, output_width=hidden)
        self.gru = nn.GRU(input_width, hidden, batch_first=True)

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(3H, E) input weights, (3H, H) state weights, (3H,) biases of both; rows: reset, update, new."""
        of = self.gru.get_parameter
        return of("weight_ih_l0"), of("weight_hh_l0"), of("bias_ih_l0"), of("bias_hh_l0")

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.gru_cell(inputs, state, *self.weights())
        return state, state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, last = self.gru(inputs, state.unsqueeze(0).contiguous())
        return outputs, last.squeeze(0)


CELLS: dict[str, type[GRUCell]] = {"gru": GRUCell}


def make_cell(name: str, input_width: int, hidden: int) -> Cell:
    """The cell of that name. Raises InputError where there is none."""
    if name not in CELLS:
        raise InputError(f"cell {name!r} is unknown; known: {', '.join(CELLS)}")
    return CELLS[name](input_width, hidden)
