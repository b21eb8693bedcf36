"""Recurrent cells with a common interface. A cell keeps a user's history in a state of constant size.

A cell has a step form, which serving exports, and a sequence form, which training runs. Both compute the same with the
same weights. A new cell needs a class here, an entry in CELLS and in `encoder.training.settings.CELL_NAMES`, and a
graph in `export.graphs`. This package imports only `encoder.model.operations.parallel_scan` and `encoder.errors`.
"""

from encoder.model.cells.cell import Cell
from encoder.model.cells.linear_recurrence import HGRN2Cell, MinGRUCell
from encoder.model.cells.nonlinear_recurrence import GRUCell, LSTMCell, RNNCell
from encoder.model.cells.registry import CELLS, make_cell
from encoder.model.cells.stack import Stack

__all__ = ["CELLS", "Cell", "GRUCell", "HGRN2Cell", "LSTMCell", "MinGRUCell", "RNNCell", "Stack", "make_cell"]
