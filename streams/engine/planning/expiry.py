"""Histories that expire: a user who stays away longer than the limit begins anew with the next event. Pure.

The rule is a function of the records alone. A history is expired for a record whose timestamp is more than the limit
behind the latest timestamp of the records that the history has applied. So a worker, a rebuild and `thalweg verify`
agree whatever their clocks and batches are. A record that was sent twice is not applied and prolongs nothing.
"""

import numpy as np
from numpy.typing import NDArray

from streams.engine.arena import RECENT, UNKNOWN_MS
from streams.engine.planning.candidates import Candidates
from streams.engine.planning.repeats import digests

Integers = NDArray[np.int64]


def begin_anew(candidates: Candidates, limit_ms: int) -> int:
    """Give the events after an expiry rows of their own, without history. Returns the number of expired histories.

    candidates: without strays and without records that their rows have applied. limit_ms: how long a user may stay
    away.
    """
    timestamp_ms = np.array([record.timestamp for record in candidates.record], np.int64)
    doubtful = _doubtful_rows(candidates, timestamp_ms, limit_ms)
    if not len(doubtful):
        return 0
    digest = digests(candidates.outcome)
    began: list[int] = []  # the old row of each new row
    rows = candidates.rows
    for row in doubtful.tolist():
        positions = np.flatnonzero(candidates.row == row)
        at = row
        latest_ms, last_offset = int(rows.last_record_ms[row]), int(rows.offset[row])
        recent = [known for known in rows.recent[row].tolist() if known]
        for position in positions.tolist():
            offset, time_ms, name = int(candidates.offset[position]), int(timestamp_ms[position]), int(digest[position])
            if offset > last_offset and latest_ms != UNKNOWN_MS and time_ms > latest_ms + limit_ms:
                at = len(rows) + len(began)
                began.append(row)
                latest_ms, recent = UNKNOWN_MS, []
            candidates.row[position] = at
            if offset > last_offset and name not in recent:
                latest_ms, last_offset = max(latest_ms, time_ms), offset
                recent = [*recent[1 - RECENT :], name]
    if began:
        candidates.rows = rows.with_new(began)
        _end(candidates, began)
    return len(began)


def _end(candidates: Candidates, began: list[int]) -> None:
    """Let nothing of the old rows be stored, and of several new rows of a user only the last one."""
    rows, first = candidates.rows, len(candidates.rows) - len(began)
    rows.erased[began] = True
    for number in range(1, len(began)):
        if began[number] == began[number - 1]:
            rows.erased[first + number - 1] = True


def _doubtful_rows(candidates: Candidates, timestamp_ms: Integers, limit_ms: int) -> Integers:
    """Rows in which a history may expire. Most batches have none."""
    row, latest_ms = candidates.row, candidates.rows.last_record_ms
    begun_ms = np.where(latest_ms == UNKNOWN_MS, np.iinfo(np.int64).max, latest_ms)
    new = latest_ms[row] == UNKNOWN_MS
    np.minimum.at(begun_ms, row[new], timestamp_ms[new])
    return np.unique(row[timestamp_ms - limit_ms > begun_ms[row]])
