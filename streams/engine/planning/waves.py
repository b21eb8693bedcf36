"""Waves: a micro-batch cut so that no wave holds two events of one user. Pure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class Groups:
    """The events of a micro-batch, user by user and each user's in their order.

    order: (n,) int64 positions, grouped. starts, lengths: (g,) int64, where each group lies in `order`. rows: (g,) the
    row of each, ascending. occurrence: (n,) int64, by position: 0 for a row's first event of the batch, 1 for its
    second, ...
    """

    __slots__ = ("lengths", "occurrence", "order", "rows", "starts")

    def __init__(self, rows: NDArray[np.int64]) -> None:
        """rows: (n,) the user of each event, from 0 on."""
        n = len(rows)
        if n and rows[-1] == n - 1 and (rows == (places := np.arange(n))).all():  # no user twice, as in small batches
            self.order = self.starts = self.rows = places
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
        """Wave k: (m,) the positions, ascending, of every row's k-th event; each position is in one wave.

        A user's events lie in consecutive waves in their order, so stepping the waves one after another equals stepping
        each user's events one by one.
        """
        if len(self.starts) == len(self.order):  # no user twice: one wave at most
            if len(self.order):
                yield np.arange(len(self.order))
            return
        by_wave = np.argsort(_short(self.occurrence), kind="stable")
        start = 0
        for end in np.cumsum(np.bincount(self.occurrence)):
            yield by_wave[start:end]
            start = end

    def running_max(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) in grouped order -> the greatest of each group so far (Hillis and Steele's scan)."""
        greatest, place = values.copy(), self.occurrence[self.order]
        reach, longest = 1, int(self.lengths.max(initial=0))
        while reach < longest:
            further = place[reach:] >= reach
            greatest[reach:][further] = np.maximum(greatest[reach:], greatest[:-reach])[further]
            reach *= 2
        return greatest


def _short(values: NDArray[np.int64]) -> NDArray[np.integer]:
    """The same small numbers in the type that numpy sorts by radix, four times as fast, where they fit."""
    return values.astype(np.uint16) if values.max(initial=0) < 2**16 else values
