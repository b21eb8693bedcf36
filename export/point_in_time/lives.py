"""The events of users in the order in which the stream applies them, and what a label sees of them. Pure.

The rules are those of the stream (docs/contracts.md#delivery-guarantees):

- An event whose id is among the ids of the user's last RECENT records is not applied again. The events of one record
  are applied together or not at all, and the id of the first event stands for the record.
- An event that is older than the user's latest event has a gap of 0 ms. A first event has a gap of -1.
- An erasure ends a life. The next event of the user begins another life, without history and without remembered ids.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.features import BRAND, CATEGORY, PRICE, TIME
from export.point_in_time.records import Records
from export.runtime.inputs import StepInputs

RECENT = 8  # as in the stream: docs/contracts.md#delivery-guarantees

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Lives(NamedTuple):
    """The n applied events of users, life after life, and each life in the order in which the stream applies it."""

    starts: Integers  # (lives,) the first event of each life
    inputs: StepInputs  # (n,) each
    latest_ms: Integers  # (n,) the latest event time of the life so far


class Seen(NamedTuple):
    """What m labels see."""

    life: Integers  # (m,) 0 where nothing is seen
    steps: Integers  # (m,) how many events of the life come before the moment of the label


def lives_of(events: Records, labels: Records, *, by_arrival: bool) -> tuple[Lives, Seen]:
    """Order the events, leave out repeats, and find what each label sees.

    events: (n,) EVENT in the order of the source: of a log in the order of the log, of an archive partition after
    partition. labels: (m,) LABEL. by_arrival: the events are in order of arrival within a partition. Otherwise the
    order is that of `moment_ms`, and events of one moment keep their order.
    """
    users, user = np.unique(events["user"], return_inverse=True)
    order = np.lexsort((_partition_begins_ms(events, user) if by_arrival else events["moment_ms"], user))
    events, user = events[order], user[order]
    # A later record cannot have arrived before an earlier one, whatever its producer's clock says.
    arrived_ms = _running_max(events["moment_ms"], user)
    is_first = np.diff(user, prepend=-1) > 0
    life = np.cumsum(is_first | events["is_erasure"]) - 1
    is_applied = ~(events["is_erasure"] | _repeats(events, life))
    count = np.cumsum(is_applied)
    begins = np.flatnonzero(np.diff(life, prepend=-1))
    starts: Integers = count[begins] - is_applied[begins]
    steps: Integers = count - starts[life]

    row, is_seen = _last_rows(users, user, arrived_ms, labels)
    seen = Seen(np.where(is_seen, life[row], 0), np.where(is_seen, steps[row], 0)) if len(events) else _nothing(labels)
    return _applied(events[is_applied], life[is_applied], starts), seen


def _nothing(labels: Records) -> Seen:
    return Seen(np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64))


def _partition_begins_ms(events: Records, user: Integers) -> Integers:
    """(n,) the moment of the user's first record in the event's partition.

    A user has records in several partitions where partitions were added. The user's records before that moment are all
    in one partition, and the later ones in the other.
    """
    pair = user * (int(events["partition"].max(initial=0)) + 1) + events["partition"]
    _, first, place = np.unique(pair, return_index=True, return_inverse=True)
    begins_ms: Integers = events["moment_ms"][first][place]
    return begins_ms


def _running_max(values: Integers, group: Integers) -> Integers:
    """(n,) the largest value so far within the group of each row. group: (n,) ascending."""
    known, rank = np.unique(values, return_inverse=True)
    largest: Integers = known[np.maximum.accumulate(group * len(known) + rank) - group * len(known)]
    return largest


def _repeats(events: Records, life: Integers) -> Flags:
    """(n,) which events belong to a record that the life's last RECENT records already brought.

    Where no record of a life has the id of one of the RECENT records before, the life has no repeat. The others are few
    and are settled record by record, because a repeat takes no place among the RECENT.
    """
    is_repeat = np.zeros(len(events), np.bool_)
    record = np.flatnonzero((events["line"] == 0) & ~events["is_erasure"])
    digest, of_life = events["digest"][record], life[record]
    is_doubtful = np.zeros(len(record), np.bool_)
    for back in range(1, min(RECENT, len(record) - 1) + 1):
        is_equal = (digest[back:] == digest[:-back]) & (of_life[back:] == of_life[:-back])
        is_doubtful[back:] |= is_equal & (digest[back:] != 0)
    for doubtful in np.unique(of_life[is_doubtful]).tolist():
        begin, end = np.searchsorted(life, (doubtful, doubtful + 1)).tolist()
        is_repeat[begin:end] = _repeats_of_life(events[begin:end])
    return is_repeat


def _repeats_of_life(events: Records) -> list[bool]:
    recent: list[int] = []
    repeated: set[tuple[int, int]] = set()  # partition and number
    found = []
    names = ("partition", "record", "line", "digest")
    for partition, record, line, digest in zip(*(events[name].tolist() for name in names), strict=True):
        if line == 0 and digest and digest in recent:
            repeated.add((partition, record))
        elif line == 0:
            recent = [*recent[1 - RECENT :], digest]
        found.append((partition, record) in repeated)
    return found


def _last_rows(
    users: NDArray[np.bytes_], user: Integers, arrived_ms: Integers, labels: Records
) -> tuple[Integers, Flags]:
    """(m,) the last row of the label's user that arrived before the label's moment, and whether there is one."""
    at = np.searchsorted(users, labels["user"])
    is_known = at < len(users)
    is_known[is_known] = users[at[is_known]] == labels["user"][is_known]
    known_ms, rank = np.unique(arrived_ms, return_inverse=True)
    key = at * (len(known_ms) + 1) + np.searchsorted(known_ms, labels["time_ms"], side="left")
    row = np.searchsorted(user * (len(known_ms) + 1) + rank, key, side="left") - 1
    is_seen = is_known & (row >= 0)
    is_seen[is_seen] = user[row[is_seen]] == at[is_seen]
    return row, is_seen


def _applied(events: Records, life: Integers, starts: Integers) -> Lives:
    """The lives of the applied events. life: (n,) of each applied event."""
    time_ms = events["time_ms"].copy()
    latest_ms = _running_max(time_ms, life)
    gap_ms = np.maximum(0, time_ms - np.roll(latest_ms, 1))
    gap_ms[np.diff(life, prepend=-1) > 0] = -1
    features = {
        TIME: time_ms,
        CATEGORY: events["category"].astype(np.int64),
        BRAND: events["brand"].astype(np.int64),
        PRICE: events["price"].copy(),
    }
    inputs = StepInputs(events["item"].astype(np.int64), events["action"].astype(np.int64), gap_ms, features)
    return Lives(starts, inputs, latest_ms)
