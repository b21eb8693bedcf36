"""A growing column whose distinct values are kept by pyarrow, without an object of Python for each."""

import numpy as np
import pyarrow

from encoder.data.event_log import MISSING, Column, Texts
from encoder.data.loaders.arrow.binary_arrays import binary_parts
from encoder.data.loaders.assembly.event_columns import Coded
from encoder.data.loaders.assembly.growing_column import GrowingColumn

_WAITING_BYTES = 1 << 22  # of values; parts wait so that the values of many parts are joined at once


class ArrowColumn(GrowingColumn):
    """Joins the values of parts when the waiting values have more bytes than the known values."""

    def __init__(self) -> None:
        super().__init__()
        self._known = pyarrow.array([], pyarrow.binary())
        self._waiting: list[tuple[int, int, pyarrow.Array]] = []  # (first row, rows, values)
        self._waiting_bytes = 0

    def add(self, first_row: int, column: Coded) -> None:
        self._codes.fill(MISSING, first_row)
        self._codes.append(column.codes)  # `_join` changes these codes
        values = _as_array(column.values if isinstance(column.values, Texts) else Texts.of(column.values))
        self._waiting.append((first_row, len(column.codes), values))
        self._waiting_bytes += values.nbytes
        if self._waiting_bytes > max(_WAITING_BYTES, self._known.nbytes):
            self._join()

    def taken(self, rows: int) -> Column:
        self._join()
        codes = super().taken(rows).codes
        data, offsets = binary_parts(self._known)
        return Column(list(Texts(data, offsets[:-1].astype(np.int64), np.diff(offsets))), codes)

    def _join(self) -> None:
        """Give the values of all waiting parts codes of the whole column. Known values keep their codes."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        chunks = [_encoded(self._known, 0), *(_encoded(values, len(values)) for _, _, values in waiting)]
        joined = pyarrow.chunked_array(chunks).unify_dictionaries()
        self._known = joined.chunk(0).dictionary
        for number, (first_row, rows, _) in enumerate(waiting, 1):
            code = np.append(joined.chunk(number).indices.to_numpy(), np.int32(MISSING))
            self._codes.replace(first_row, first_row + rows, code)


def _as_array(values: Texts) -> "pyarrow.Array":
    packed = values.packed()
    offsets = np.append(packed.start, len(packed.data)).astype(np.int32)
    buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(packed.data)]
    return pyarrow.Array.from_buffers(pyarrow.binary(), len(packed), buffers)


def _encoded(values: "pyarrow.Array", rows: int) -> "pyarrow.DictionaryArray":
    """A dictionary array of `rows` rows with these values. Row r has value r."""
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.arange(rows, dtype=np.int32)), values)
