"""Waves: a micro-batch cut so that no wave holds two events of one user. Pure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def waves(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Split positions 0..n-1 into waves; wave k holds every user's k-th event.

    rows: (n,) int64, the user of each event. Yields (m,) int64 positions in ascending order, each position once.
    Within a wave all users differ, and a user's events lie in consecutive waves in their order, so stepping the
    waves one after another equals stepping each user's events one by one.
    """
    n = len(rows)
    if n == 0:
        return
    order = np.argsort(rows, kind="stable")
    grouped = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], grouped[1:] != grouped[:-1])))
    if len(starts) == n:  # no user twice: one wave
        yield np.arange(n)
        return
    lengths = np.diff(np.append(starts, n))
    occurrence = np.empty(n, np.int64)  # 0 for a user's first event of the batch, 1 for the second, ...
    occurrence[order] = np.arange(n) - np.repeat(starts, lengths)
    by_wave = np.argsort(occurrence, kind="stable")
    ends = np.cumsum(np.bincount(occurrence))
    start = 0
    for end in ends:
        yield by_wave[start:end]
        start = end
