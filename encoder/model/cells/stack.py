"""Several cells on top of each other."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from encoder.model.cells.cell import Cell

Form = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # the step or the sequence of a cell


class Stack(Cell):
    """A stack of cells with residual connections (He et al. 2016). The state holds the states of all cells in order.

    The output of a cell is added to the cell's input. The first cell has no residual connection, because its input can
    have another width than its output.
    """

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__(cells[0].input_width, sum(cell.state_width for cell in cells), cells[-1].output_width)
        self.cells = nn.ModuleList(cells)

    @property
    def layers(self) -> list[Cell]:
        """The cells from the first to the last."""
        return cast(list[Cell], list(self.cells))

    @property
    def input_weight(self) -> Tensor:
        return self.layers[0].input_weight

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(lambda layer: layer.step, inputs, state)

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(lambda layer: layer.sequence, inputs, state)

    def _run(self, form: Callable[[Cell], Form], inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        layers = self.layers
        before = torch.split(state, [layer.state_width for layer in layers], dim=1)
        after: list[Tensor] = []
        for layer, part in zip(layers, before, strict=True):
            output, next_part = form(layer)(inputs, part)
            inputs = inputs + output if after else output
            after.append(next_part)
        return inputs, torch.cat(after, dim=1)
