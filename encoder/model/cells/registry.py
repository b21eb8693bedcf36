"""The cells by name."""

from collections.abc import Callable

from encoder.errors import InputError
from encoder.model.cells.cell import Cell
from encoder.model.cells.linear_recurrence import HGRN2Cell, MinGRUCell
from encoder.model.cells.nonlinear_recurrence import GRUCell, LSTMCell, RNNCell
from encoder.model.cells.stack import Stack

CELLS: dict[str, Callable[[int, int], Cell]] = {  # name -> (input width, hidden width) -> cell
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "mingru": MinGRUCell,
    "hgrn2": HGRN2Cell,
}


def make_cell(name: str, input_width: int, hidden: int, layers: int = 1) -> Cell:
    """Make a cell, or a stack of `layers` cells. Raises InputError when the name is unknown or `layers` is below 1."""
    if name not in CELLS:
        raise InputError(f"cell {name!r} is unknown: use one of {', '.join(CELLS)}")
    if layers < 1:
        raise InputError(f"a cell cannot have {layers} layers: give 1 or more")
    cells = [CELLS[name](input_width if layer == 0 else hidden, hidden) for layer in range(layers)]
    return cells[0] if layers == 1 else Stack(cells)  # the names of a single cell's weights do not contain the stack
