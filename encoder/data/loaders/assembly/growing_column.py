"""A dictionary-encoded column that grows by parts, each with codes of its own."""

import numpy as np

from encoder.data.event_log import MISSING, Column
from encoder.data.loaders.assembly.event_columns import Coded, Dictionary
from encoder.data.loaders.assembly.growing_array import GrowingArray


class GrowingColumn:
    """Collects the parts of a column. Values have codes in the order of their first part and of their place in it."""

    def __init__(self) -> None:
        self._dictionary = Dictionary()
        self._codes = GrowingArray(np.int32)

    def add(self, first_row: int, column: Coded) -> None:
        """Add the rows from `first_row` on. Rows between the last part and this part are MISSING."""
        self._codes.fill(MISSING, first_row)
        code = self._dictionary.encode(column.values, len(column.values))
        self._codes.append(np.append(code, np.int32(MISSING))[column.codes])

    def taken(self, rows: int) -> Column:
        """The column of `rows` rows. Rows behind the last part are MISSING. The growing column loses all."""
        self._codes.fill(MISSING, rows)
        values = list(self._dictionary)
        self._dictionary.clear()
        return Column(values, self._codes.taken())
