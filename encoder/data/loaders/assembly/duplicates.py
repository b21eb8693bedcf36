"""Finds the events that stand twice in a log: the events with the user id and the event id of an earlier row."""

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import Texts

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth, volume 3, section 6.4, multiplicative hashing
_SHIFT = np.uint64(29)
_WORD_BYTES = 8


def keys_of(ids: Texts, user: NDArray[np.int32]) -> NDArray[np.uint64]:
    """(n,) a hash of each event's id and user. user: (n,) codes."""
    keys = np.zeros(len(ids), np.uint64)
    for size in np.unique(ids.size).tolist():
        rows = np.flatnonzero(ids.size == size)
        words = -(-size // _WORD_BYTES)
        padded = np.zeros((len(rows), words * _WORD_BYTES), np.uint8)
        padded[:, :size] = ids.data[ids.start[rows, None] + np.arange(size)]
        key = _mixed(user[rows].astype(np.uint64) + np.uint64(size << 32))
        for word in padded.view(np.uint64).T:
            key = _mixed(key ^ word)
        keys[rows] = key
    return keys


def _mixed(key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    key = key * _FACTOR
    return key ^ (key >> _SHIFT)


def duplicate_rows(keys: NDArray[np.uint64], ids: Texts, user: NDArray[np.int32]) -> NDArray[np.int64]:
    """(k,) the rows whose user and id are those of an earlier row, ascending. An empty id is never a duplicate.

    keys: (n,) from `keys_of`. Rows with equal keys are compared by user and id.
    """
    in_order = np.sort(keys)
    repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    del in_order
    candidates = np.flatnonzero(np.isin(keys, repeated) & (ids.size > 0)) if len(repeated) else np.empty(0, np.int64)
    seen: set[tuple[int, str]] = set()
    found: list[int] = []
    named = zip(candidates.tolist(), user[candidates].tolist(), ids[candidates], strict=True)
    for row, user_code, event_id in named:
        if (user_code, event_id) in seen:
            found.append(row)
        seen.add((user_code, event_id))
    return np.array(found, np.int64)
