"""Events that came before: replayed records, and events that a producer sent twice. Pure.

A record whose offset is not behind the user's last applied offset is a replay. An event whose id is among the hashes of
the user's last RECENT event ids was sent twice.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from encoder.data.events import BehaviorEvent
from streams.engine.arena import RECENT
from streams.engine.planning.rows import Rows
from streams.engine.planning.waves import Groups

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
Digests = NDArray[np.uint64]


def digests(events: Sequence[BehaviorEvent]) -> Digests:
    """(n,) uint64, the hash of each event's id. No hash is 0, because 0 marks an empty place in `Rows.recent`."""
    digest = np.array([xxh3_64_intdigest(event.event_id.encode()) for event in events], np.uint64)
    digest[digest == 0] = 1
    return digest


def doubtful_rows(rows: Rows, groups: Groups, offset: Integers, digest: Digests) -> Integers:
    """Rows in which an event may have come before; a row can stand several times in the result.

    A row is doubtful where an offset is not behind the offset before, or where an event id is among the RECENT ids
    before the event. offset: (n,) int64. digest: (n,) uint64.
    """
    row, offset, digest = np.repeat(groups.rows, groups.lengths), offset[groups.order], digest[groups.order]
    doubtful = (rows.recent[row] == digest[:, None]).any(axis=1)
    for back in range(1, min(RECENT + 1, int(groups.lengths.max(initial=1)))):
        is_same = row[back:] == row[:-back]
        doubtful[back:] |= is_same & (digest[back:] == digest[:-back])
        if back == 1:
            doubtful[back:] |= is_same & (offset[back:] <= offset[:-back])
    found: Integers = row[doubtful]
    return found


def repeats(rows: Rows, doubtful: Integers, groups: Groups, offset: Integers, digest: Digests) -> tuple[Flags, Flags]:
    """Which events of the doubtful rows were replayed, and which a producer sent twice; (n,) bool each."""
    replayed, sent_twice = np.zeros(len(offset), np.bool_), np.zeros(len(offset), np.bool_)
    for group in np.flatnonzero(np.isin(groups.rows, doubtful)).tolist():
        row, start = groups.rows[group], groups.starts[group]
        last_offset, recent = rows.offset[row], [known for known in rows.recent[row].tolist() if known]
        for position in groups.order[start : start + groups.lengths[group]].tolist():
            event_digest = int(digest[position])
            if offset[position] <= last_offset:
                replayed[position] = True
            elif event_digest in recent:
                sent_twice[position] = True
            else:
                last_offset = offset[position]
                recent = [*recent[1 - RECENT :], event_digest]
    return replayed, sent_twice


def remember(recent: Digests, row: Integers, groups: Groups, digest: Digests) -> None:
    """Shift the hashes of each event, (n,) uint64, into the window of its row; recent: (rows, RECENT) uint64."""
    for wave in groups.waves():
        window = recent[row[wave]]
        window[:, :-1] = window[:, 1:]
        window[:, -1] = digest[wave]
        recent[row[wave]] = window
