"""Waves: a micro-batch divided so that no wave holds two events of one user. Pure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class Groups:
    """The events of a micro-batch grouped by user. Each user's events keep their order.

    order: (n,) int64, the positions of the events, user after user.
    starts, lengths: (g,) int64, where each user's group lies in `order`.
    rows: (g,) int64, the row of each group, ascending.
    occurrence: (n,) int64 by position, 0 for a row's first event of the batch, 1 for the second event, and so on.
    """

    __slots__ = ("lengths", "occurrence", "order", "rows", "starts")

    def __init__(self, rows: NDArray[np.int64]) -> None:
        """rows: (n,) int64, the row of each event, counted from 0."""
        n = len(rows)
        if n and rows[-1] == n - 1 and (rows == (positions := np.arange(n))).all():
            # No user occurs twice, as in most small batches, so the batch needs no sorting.
            self.order = self.starts = self.rows = positions
            self.lengths, self.occurrence = np.ones(n, np.int64), np.zeros(n, np.int64)
            return
        self.order = np.argsort(_short(rows), kind="stable")
        grouped = rows[self.order]
        self.starts = np.flatnonzero(np.concatenate(([True], grouped[1:] != grouped[:-1]))) if n else np.arange(0)
        self.rows = grouped[self.starts]
        self.lengths = np.diff(np.append(self.starts, n))
        self.occurrence = np.empty(n, np.int64)
        self.occurrence[self.order] = np.arange(n) - np.repeat(self.starts, self.lengths)

    def waves(self) -> Iterator[NDArray[np.int64]]:
        """Wave k holds the positions of every row's k-th event: (m,) int64, ascending. Each position is in one wave.

        Consecutive waves hold a user's events in their order. Stepping wave after wave therefore gives the same states
        as stepping each user's events one by one.
        """
        if len(self.starts) == len(self.order):  # No user occurs twice.
            if len(self.order):
                yield np.arange(len(self.order))
            return
        by_wave = np.argsort(_short(self.occurrence), kind="stable")
        start = 0
        for end in np.cumsum(np.bincount(self.occurrence)):
            yield by_wave[start:end]
            start = end

    def running_max(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The greatest value of each group so far; values and result are (n,) int64 in grouped order.

        The method is the parallel scan of Hillis and Steele (1986, https://doi.org/10.1145/7902.7903).
        """
        greatest, place = values.copy(), self.occurrence[self.order]
        reach, longest = 1, int(self.lengths.max(initial=0))
        while reach < longest:
            further = place[reach:] >= reach
            greatest[reach:][further] = np.maximum(greatest[reach:], greatest[:-reach])[further]
            reach *= 2
        return greatest


def _short(values: NDArray[np.int64]) -> NDArray[np.integer]:
    """The same numbers as uint16 where they fit. Numpy sorts uint16 by radix, which is four times as fast."""
    return values.astype(np.uint16) if values.max(initial=0) < 2**16 else values
