"""Records that are divided by a number into files of a folder, so that one file at a time is in memory."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.point_in_time.records import Records


class RecordFiles:
    """Files of records of one type. The records of a file keep the order in which they were added."""

    def __init__(self, folder: Path, dtype: np.dtype[np.void]) -> None:
        """folder: is made, and must not exist."""
        folder.mkdir()
        self._folder = folder
        self._dtype = dtype

    def add(self, number: NDArray[np.integer], records: Records) -> None:
        """Add (n,) records, each to the file with its number."""
        order = np.argsort(number, kind="stable")
        number, records = number[order], records[order]
        bounds = [*np.flatnonzero(np.diff(number, prepend=-1)).tolist(), len(records)]
        for begin, end in pairwise(bounds):
            with self._path(int(number[begin])).open("ab") as file:
                records[begin:end].tofile(file)

    def take(self, number: int) -> Records:
        """The records of a file, which is deleted. A file without records is empty."""
        path = self._path(number)
        if not path.exists():
            return np.empty(0, self._dtype)
        records: Records = np.fromfile(path, self._dtype)
        path.unlink()
        return records

    def _path(self, number: int) -> Path:
        return self._folder / str(number)
