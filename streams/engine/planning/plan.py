"""What the records of a micro-batch mean, before anything is stepped: which events apply to which user's row, and what
each of them is to its user. Pure.

The rules of one record are simple and need the records before it; a loop over them costs more than stepping does. So
what is rare (a record that is no event, an erasure, an event that comes twice or in another user's partition) is found
by whole columns and settled one by one, and the rest is columns alone.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from encoder.data.events import BehaviorEvent
from streams.engine.arena import NO_OFFSET, RECENT, Arena
from streams.engine.codec import Erasure, Outcome, Rejected
from streams.engine.planning.rows import NOWHERE, Rows
from streams.engine.planning.waves import Groups
from streams.engine.rejection import quote

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


class Part(NamedTuple):
    """Consecutive records of one partition.

    records: anything with `.offset` and `.timestamp` (ms); outcomes: what the codec made of each.
    """

    partition: int
    records: Sequence[Any]
    outcomes: Sequence[Outcome]


class Erased(NamedTuple):
    """A user whose history ends at this erasure."""

    user_id: str
    partition: int
    offset: int


class Columns(msgspec.Struct):
    """The applied events of a micro-batch, part by part and in the order of the partition; (n,) each.

    timestamp_ms is the record's; row: the user's in Rows; gap_ms since the user's event before, -1: there is none;
    steps of the user before the event; previous_item: of the user's event before (str or None).
    """

    event: list[BehaviorEvent]
    partition: Integers
    offset: Integers
    timestamp_ms: Integers
    row: Integers
    groups: Groups  # of `row`
    item: Integers
    action: Integers
    gap_ms: Integers
    steps: Integers
    previous_item: NDArray[np.object_]


class Plan(msgspec.Struct):
    """rows: of all users of the batch as they are after it. rejected: (record, why), by part and offset."""

    rows: Rows
    columns: Columns
    rejected: list[tuple[Any, Rejected]]
    erased: list[Erased]  # in order
    already_applied: int


class Planner:
    """Plans micro-batches over what an arena knows of their users."""

    def __init__(self, items: Mapping[str, int], actions: Mapping[str, int], arena: Arena) -> None:
        """items, actions: place of each name; 0 is the place of all others."""
        self._items = items
        self._actions = actions
        self._arena = arena

    def plan(self, parts: Sequence[Part]) -> Plan:
        """What these records do, as if part after part were applied alone."""
        found = _Sifted(parts, self._arena)
        rows = found.rows
        found.set_aside_strays()
        behind = found.offset <= rows.offset[found.row]
        found.drop(behind, replayed=behind)
        digest, groups = _digests(found.event), Groups(found.row)
        if len(doubtful := _doubtful(rows, groups, found.offset, digest)):
            replayed, sent_twice = _repeats(rows, doubtful, groups, found.offset, digest)
            again = replayed | sent_twice
            found.drop(again, replayed)
            digest, groups = digest[~again], Groups(found.row)
        columns = self._apply(found, groups)
        _remember(rows.recent, found.row, groups, digest)
        return Plan(rows, columns, found.rejections(), found.erased, found.already_applied)

    def _apply(self, found: "_Sifted", groups: Groups) -> Columns:
        """Move the rows on by their events."""
        rows, event, row = found.rows, found.event, found.row
        order, starts, touched = groups.order, groups.starts, groups.rows
        last = starts + groups.lengths - 1
        steps = rows.steps[row] + groups.occurrence

        time_ms = np.array([one.event_time_ms for one in event], np.int64)[order]
        before = rows.last_time_ms[touched]
        first = rows.steps[touched] == 0
        before[first] = time_ms[starts[first]]
        latest = time_ms.copy()
        latest[starts] = np.maximum(latest[starts], before)
        latest = groups.running_max(latest)
        gap_ms = np.empty_like(time_ms)
        gap_ms[order] = np.maximum(0, time_ms - _shifted(latest, starts, before))
        gap_ms[steps == 0] = -1

        names = [one.item_id for one in event]
        item_id = np.array(names, object)[order]
        previous_item = np.empty(len(event), object)
        previous_item[order] = _shifted(item_id, starts, rows.last_item[touched])

        rows.steps[touched] += groups.lengths
        rows.offset[touched] = found.offset[order[last]]
        rows.last_time_ms[touched] = latest[last]
        rows.last_item[touched] = item_id[last]
        rows.changed[touched] = True
        item, action = self._items.get, self._actions.get
        return Columns(
            event=event,
            partition=found.partition,
            offset=found.offset,
            timestamp_ms=np.array([record.timestamp for record in found.record], np.int64),
            row=row,
            groups=groups,
            item=np.array([item(name, 0) for name in names], np.int64),
            action=np.array([action(one.action, 0) for one in event], np.int64),
            gap_ms=gap_ms,
            steps=steps,
            previous_item=previous_item,
        )


class _Sifted:
    """The events of a batch, each with its user's row, and what was found out about all other records.

    record, event: lists of n; part (its number), partition, offset, row: (n,).
    """

    def __init__(self, parts: Sequence[Part], arena: Arena) -> None:
        self.erased: list[Erased] = []
        self.already_applied = 0
        self._rejected: list[tuple[int, Any, Rejected]] = []  # with the number of the part
        self._erased_rows: list[int] = []
        self._replayed_rows: list[int] = []  # by erasures
        self.record: list[Any] = []
        outcomes: list[Any] = []
        counts = []
        has_erasures = False
        for number, part in enumerate(parts):
            kinds = set(map(type, part.outcomes))
            has_erasures |= Erasure in kinds
            if Rejected in kinds:
                pairs = list(zip(part.records, part.outcomes, strict=True))
                self._rejected += [(number, r, o) for r, o in pairs if isinstance(o, Rejected)]
                pairs = [(r, o) for r, o in pairs if not isinstance(o, Rejected)]
                self.record += [r for r, _ in pairs]
                outcomes += [o for _, o in pairs]
                counts.append(len(pairs))
            else:
                self.record += part.records
                outcomes += part.outcomes
                counts.append(len(part.outcomes))
        self.part = np.repeat(np.arange(len(parts)), counts)
        self.partition = np.repeat(np.array([part.partition for part in parts], np.int64), counts)
        self.offset = np.array([record.offset for record in self.record], np.int64)
        self.event: list[BehaviorEvent] = outcomes
        user_ids = [outcome.user_id for outcome in outcomes]
        users = list(dict.fromkeys(user_ids))
        known = len(users)
        row_of = {user_id: row for row, user_id in enumerate(users)}
        if has_erasures:
            self._erase(arena, users, row_of)
        else:
            self.row = np.array([row_of[user_id] for user_id in user_ids], np.int64)
        self.rows = Rows.of(users, known, arena)
        self.rows.erased[self._erased_rows] = True
        self.rows.replayed[self._replayed_rows] = True
        # A user without history belongs where its first event comes; the last assignment to a row is its first event.
        new = np.flatnonzero(self.rows.partition[self.row] == NOWHERE)[::-1]
        self.rows.partition[self.row[new]] = self.partition[new]

    def _erase(self, arena: Arena, users: list[str], row_of: dict[str, int]) -> None:
        """Settle the erasures, in order; a user's events after one have a row of their own, added to `users`.

        An offset that is not behind all before it in its row is of a record that came again.
        """
        known = len(users)
        home: dict[int, int] = {}  # row -> partition
        reached: dict[int, int] = {}  # row -> offset
        row, is_event = [], []
        partitions, numbers = self.partition.tolist(), self.part.tolist()
        for position, (record, outcome) in enumerate(zip(self.record, self.event, strict=True)):
            user_id, partition, offset = outcome.user_id, partitions[position], record.offset
            index = row_of[user_id]
            row.append(index)
            is_event.append(not isinstance(outcome, Erasure))
            if index not in home:
                slot = arena.slot(user_id) if index < known else None
                home[index] = partition if slot is None else int(arena.partition[slot])
                reached[index] = NO_OFFSET if slot is None else int(arena.offset[slot])
            is_behind, is_stray = offset <= reached[index], home[index] != partition
            if not is_stray:
                reached[index] = max(reached[index], offset)
            if is_event[-1]:
                continue
            if is_stray:
                self._rejected.append((numbers[position], record, _elsewhere(user_id, home[index])))
            elif is_behind:
                self.already_applied += 1
                self._replayed_rows.append(index)
            else:
                self.erased.append(Erased(user_id, partition, offset))
                self._erased_rows.append(index)
                row_of[user_id] = len(users)
                users.append(user_id)
        self.row = np.array(row, np.int64)
        self._keep(np.array(is_event))

    def _keep(self, kept: Flags) -> None:
        """Go on with these events alone."""
        self.record = list(compress(self.record, kept))
        self.event = list(compress(self.event, kept))
        self.part, self.partition, self.offset = self.part[kept], self.partition[kept], self.offset[kept]
        self.row = self.row[kept]

    def set_aside_strays(self) -> None:
        """Reject events in a partition that their user does not belong to."""
        strays = self.partition != self.rows.partition[self.row]
        for position in np.flatnonzero(strays).tolist():
            why = _elsewhere(self.event[position].user_id, int(self.rows.partition[self.row[position]]))
            self._rejected.append((int(self.part[position]), self.record[position], why))
        if strays.any():
            self._keep(~strays)

    def drop(self, again: Flags, replayed: Flags) -> None:
        """Count events as already applied; replayed: those of a record that came again."""
        if again.any():
            self.already_applied += int(again.sum())
            self.rows.replayed[self.row[replayed]] = True
            self._keep(~again)

    def rejections(self) -> list[tuple[Any, Rejected]]:
        self._rejected.sort(key=lambda one: (one[0], one[1].offset))
        return [(record, why) for _, record, why in self._rejected]


def _digests(events: Sequence[BehaviorEvent]) -> NDArray[np.uint64]:
    """(n,) hash of each event's id; 0 marks an empty place, and is none."""
    digest = np.array([xxh3_64_intdigest(event.event_id.encode()) for event in events], np.uint64)
    digest[digest == 0] = 1
    return digest


def _repeats(
    rows: Rows, doubtful: Integers, groups: Groups, offset: Integers, digest: NDArray[np.uint64]
) -> tuple[Flags, Flags]:
    """Which events of the doubtful rows are of a record that came again, and which had been sent before."""
    replayed, sent_twice = np.zeros(len(offset), np.bool_), np.zeros(len(offset), np.bool_)
    for group in np.flatnonzero(np.isin(groups.rows, doubtful)).tolist():
        row, start = groups.rows[group], groups.starts[group]
        reached, recent = rows.offset[row], [known for known in rows.recent[row].tolist() if known]
        for position in groups.order[start : start + groups.lengths[group]].tolist():
            its_digest = int(digest[position])
            if offset[position] <= reached:
                replayed[position] = True
            elif its_digest in recent:
                sent_twice[position] = True
            else:
                reached = offset[position]
                recent = [*recent[1 - RECENT :], its_digest]
    return replayed, sent_twice


def _doubtful(rows: Rows, groups: Groups, offset: Integers, digest: NDArray[np.uint64]) -> Integers:
    """Rows in which an event may have come twice: some offset is not behind the one before it, or some id is among the
    RECENT before it."""
    row, offset, digest = np.repeat(groups.rows, groups.lengths), offset[groups.order], digest[groups.order]
    twice = (rows.recent[row] == digest[:, None]).any(axis=1)
    for back in range(1, min(RECENT + 1, int(groups.lengths.max(initial=1)))):
        is_same = row[back:] == row[:-back]
        twice[back:] |= is_same & (digest[back:] == digest[:-back])
        if back == 1:
            twice[back:] |= is_same & (offset[back:] <= offset[:-back])
    found: Integers = row[twice]
    return found


def _shifted(grouped: NDArray[Any], starts: Integers, before: NDArray[Any]) -> NDArray[Any]:
    """(n,) grouped values, each moved on by one; the first of each group is what was before it, (g,)."""
    shifted = np.empty_like(grouped)
    shifted[1:] = grouped[:-1]
    shifted[starts] = before
    return shifted


def _remember(recent: NDArray[np.uint64], row: Integers, groups: Groups, digest: NDArray[np.uint64]) -> None:
    """Move the rows' windows of recent hashes, (rows, RECENT), on by their events."""
    for wave in groups.waves():
        window = recent[row[wave]]
        window[:, :-1] = window[:, 1:]
        window[:, -1] = digest[wave]
        recent[row[wave]] = window


def _elsewhere(user_id: str, partition: int) -> Rejected:
    reason = (
        f"user {quote(user_id)} belongs to partition {partition}: all producers must choose the partition alike, "
        "and know of added partitions within the setting `partition_handover_s`"
    )
    return Rejected(reason, "partition")
