"""Events that came before: replayed records, and events that a producer sent twice. Pure.

A record whose offset is not behind the user's last applied offset is a replay. A record whose id is among the hashes of
the ids of the user's last RECENT records was sent twice. The id of a record is the id of its event. Where a record
holds several events, the id of the first event stands for all of them. So an order of any length takes one of the
RECENT places, and the order is recognised as a whole when it comes again.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from encoder.data.events import BehaviorEvent
from streams.engine.arena import RECENT
from streams.engine.codec import Several
from streams.engine.planning.rows import Rows
from streams.engine.planning.waves import Groups

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
Digests = NDArray[np.uint64]


def digests(records: Sequence[BehaviorEvent | Several]) -> Digests:
    """(n,) uint64, the hash of each record's id."""
    return digests_of_ids(record.event_id.encode() for record in records)


def digests_of_ids(event_ids: Iterable[bytes]) -> Digests:
    """(n,) uint64, the hash of each id in UTF-8. No hash is 0, because 0 marks an empty place in `Rows.recent`."""
    digest = np.fromiter(map(xxh3_64_intdigest, event_ids), np.uint64)
    digest[digest == 0] = 1
    return digest


def doubtful_rows(rows: Rows, groups: Groups, offset: Integers, digest: Digests) -> Integers:
    """Rows in which a record may have come before; a row can stand several times in the result.

    A row is doubtful where an offset is not behind the offset before, or where an id is among the RECENT ids before the
    record. groups: the records by row. offset: (n,) int64. digest: (n,) uint64.
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
    """Which records of the doubtful rows were replayed, and which a producer sent twice; (n,) bool each."""
    replayed, sent_twice = np.zeros(len(offset), np.bool_), np.zeros(len(offset), np.bool_)
    for group in np.flatnonzero(np.isin(groups.rows, doubtful)).tolist():
        row, start = groups.rows[group], groups.starts[group]
        last_offset, recent = rows.offset[row], [known for known in rows.recent[row].tolist() if known]
        for position in groups.order[start : start + groups.lengths[group]].tolist():
            record_digest = int(digest[position])
            if offset[position] <= last_offset:
                replayed[position] = True
            elif record_digest in recent:
                sent_twice[position] = True
            else:
                last_offset = offset[position]
                recent = [*recent[1 - RECENT :], record_digest]
    return replayed, sent_twice


def remember(recent: Digests, row: Integers, groups: Groups, digest: Digests) -> None:
    """Shift the hash of each record, (n,) uint64, into the window of its row; recent: (rows, RECENT) uint64."""
    for wave in groups.waves():
        window = recent[row[wave]]
        window[:, :-1] = window[:, 1:]
        window[:, -1] = digest[wave]
        recent[row[wave]] = window
