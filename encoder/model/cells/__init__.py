"""Recurrent cells behind one interface: a user's history in a state of constant size.

A cell has a step form, which serving exports, and a sequence form, which training runs. Both compute the same with the
same weights. A new cell is a class here, an entry in CELLS and in `encoder.training_settings.CELL_NAMES`, and its graph
in `export.graphs.cells`.
"""

from collections.abc import Callable

from encoder.errors import InputError
from encoder.model.cells.cell import Cell
from encoder.model.cells.linear import HGRN2Cell, MinGRUCell
from encoder.model.cells.recurrent import GRUCell, LSTMCell, RNNCell
from encoder.model.cells.stack import Stack

__all__ = ["CELLS", "Cell", "GRUCell", "HGRN2Cell", "LSTMCell", "MinGRUCell", "RNNCell", "Stack", "make_cell"]

CELLS: dict[str, Callable[[int, int], Cell]] = {
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "mingru": MinGRUCell,
    "hgrn2": HGRN2Cell,
}


def make_cell(name: str, input_width: int, hidden: int, layers: int = 1) -> Cell:
    """The cell of that name, or a stack of `layers` of it. Raises InputError where there is none."""
    if name not in CELLS:
        raise InputError(f"cell {name!r} is unknown; known: {', '.join(CELLS)}")
    if layers < 1:
        raise InputError(f"a cell of {layers} layers does not exist: give 1 or more")
    cells = [CELLS[name](input_width if layer == 0 else hidden, hidden) for layer in range(layers)]
    return cells[0] if layers == 1 else Stack(cells)  # a single cell's weights are named without the stack
