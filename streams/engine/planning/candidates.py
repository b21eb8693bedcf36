"""The events of a micro-batch that may apply, while the planner settles every other record. Pure."""

from collections.abc import Sequence
from itertools import chain, compress
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from encoder.data.contract.judge import DroppedField
from encoder.data.contract.quoting import quote
from encoder.data.events import BehaviorEvent
from streams.engine.arena import NO_OFFSET, Arena
from streams.engine.codec import Erasure, Outcome, Rejected, Several, Skipped, WithoutUser
from streams.engine.planning.rows import NOWHERE, Rows

Flags = NDArray[np.bool_]


class Part(NamedTuple):
    """Consecutive records of one partition.

    records: objects with `.offset` and `.timestamp` (ms). outcomes: what the codec decoded each record to. dropped: the
    optional fields that the events lost.
    """

    partition: int
    records: Sequence[Any]
    outcomes: Sequence[Outcome]
    dropped: Sequence[DroppedField] = ()


class Erased(NamedTuple):
    """An erasure: the history of the user before this offset is deleted."""

    user_id: str
    partition: int
    offset: int


class CandidateEvents(NamedTuple):
    """The events of records that apply, as columns; the events of a record stand side by side.

    line: (n,) int64, the number of the event in its record, from 0. partition, offset, timestamp_ms: (n,) int64 of the
    record. row: (n,) int64.
    """

    event: list[BehaviorEvent]
    line: NDArray[np.int64]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    timestamp_ms: NDArray[np.int64]
    row: NDArray[np.int64]


class Candidates:
    """The records whose events may apply, each with the row of its user, and the records that the planner has settled.

    A record counts as a whole until `events` gives the events of the records that are left.

    record, outcome: lists of n. part, partition, offset, row: (n,) int64; `part` is the number of the part.
    """

    def __init__(self, parts: Sequence[Part], arena: Arena) -> None:
        self.erased: list[Erased] = []
        self.already_applied = 0
        self.skipped: list[Skipped] = []
        self._rejected: list[tuple[int, Any, Rejected]] = []  # the number of the part, the record and the reason
        self.record, outcomes, counts, kinds = self._with_users(parts)
        self.outcome: list[BehaviorEvent | Several] = outcomes
        self._has_several = Several in kinds
        self.part = np.repeat(np.arange(len(parts)), counts)
        self.partition = np.repeat(np.array([part.partition for part in parts], np.int64), counts)
        self.offset = np.array([record.offset for record in self.record], np.int64)
        user_ids = [outcome.user_id for outcome in outcomes]
        users = list(dict.fromkeys(user_ids))
        known = len(users)
        row_of = {user_id: row for row, user_id in enumerate(users)}
        erased_rows: list[int] = []
        replayed_rows: list[int] = []
        if Erasure in kinds:
            erased_rows, replayed_rows = self._settle_erasures(arena, users, row_of)
        else:
            self.row = np.array([row_of[user_id] for user_id in user_ids], np.int64)
        self.rows = Rows.from_arena(users, known, arena)
        self.rows.erased[erased_rows] = True
        self.rows.replayed[replayed_rows] = True
        self._place_new_users()

    def _with_users(self, parts: Sequence[Part]) -> tuple[list[Any], list[Any], list[int], set[type]]:
        """Set the records aside that change no user.

        Returns the other records, their outcomes, their number in each part, and the types of all outcomes.
        """
        kinds: set[type] = set()
        records: list[Any] = []
        outcomes: list[Any] = []
        counts = []
        for number, part in enumerate(parts):
            part_kinds: set[type] = set(map(type, part.outcomes))
            kinds |= part_kinds
            if Rejected in part_kinds or Skipped in part_kinds:
                pairs = list(zip(part.records, part.outcomes, strict=True))
                self._rejected += [(number, r, o) for r, o in pairs if isinstance(o, Rejected)]
                self.skipped += [o for _, o in pairs if isinstance(o, Skipped)]
                pairs = [(r, o) for r, o in pairs if not isinstance(o, WithoutUser)]
                records += [r for r, _ in pairs]
                outcomes += [o for _, o in pairs]
                counts.append(len(pairs))
            else:
                records += part.records
                outcomes += part.outcomes
                counts.append(len(part.outcomes))
        return records, outcomes, counts, kinds

    def _place_new_users(self) -> None:
        """A user without history belongs to the partition of the user's first event."""
        # The positions descend, so the last assignment to a row is the row's first event.
        new = np.flatnonzero(self.rows.partition[self.row] == NOWHERE)[::-1]
        self.rows.partition[self.row[new]] = self.partition[new]

    def _settle_erasures(self, arena: Arena, users: list[str], row_of: dict[str, int]) -> tuple[list[int], list[int]]:
        """Settle the erasures in order, and return the rows that were erased and those with a replayed erasure.

        A user's events after an erasure get a row of their own, which is appended to `users`. A record whose offset is
        not behind every earlier offset of its row is a replay.
        """
        known = len(users)
        home: dict[int, int] = {}  # row -> partition
        last_offset: dict[int, int] = {}  # row -> offset
        row, is_event = [], []
        erased_rows, replayed_rows = [], []
        partitions, numbers = self.partition.tolist(), self.part.tolist()
        for position, (record, outcome) in enumerate(zip(self.record, self.outcome, strict=True)):
            user_id, partition, offset = outcome.user_id, partitions[position], record.offset
            index = row_of[user_id]
            row.append(index)
            is_event.append(not isinstance(outcome, Erasure))
            if index not in home:
                slot = arena.slot(user_id) if index < known else None
                home[index] = partition if slot is None else int(arena.partition[slot])
                last_offset[index] = NO_OFFSET if slot is None else int(arena.offset[slot])
            is_replay, is_stray = offset <= last_offset[index], home[index] != partition
            if not is_stray:
                last_offset[index] = max(last_offset[index], offset)
            if is_event[-1]:
                continue
            if is_stray:
                self._rejected.append((numbers[position], record, _wrong_partition(user_id, home[index])))
            elif is_replay:
                self.already_applied += 1
                replayed_rows.append(index)
            else:
                self.erased.append(Erased(user_id, partition, offset))
                erased_rows.append(index)
                row_of[user_id] = len(users)
                users.append(user_id)
        self.row = np.array(row, np.int64)
        self._retain(np.array(is_event))
        return erased_rows, replayed_rows

    def reject_strays(self) -> None:
        """Reject the records in a partition that their user does not belong to."""
        strays = self.partition != self.rows.partition[self.row]
        for position in np.flatnonzero(strays).tolist():
            why = _wrong_partition(self.outcome[position].user_id, int(self.rows.partition[self.row[position]]))
            self._rejected.append((int(self.part[position]), self.record[position], why))
        if strays.any():
            self._retain(~strays)

    def drop_applied(self, applied: Flags, replayed: Flags) -> None:
        """Count the `applied` records as already applied. Of these, `replayed` marks the replayed records."""
        if applied.any():
            self.already_applied += int(applied.sum())
            self.rows.replayed[self.row[replayed]] = True
            self._retain(~applied)

    def rejections(self) -> list[tuple[Any, Rejected]]:
        """Every rejected record with its reason, by part and offset."""
        self._rejected.sort(key=lambda rejection: (rejection[0], rejection[1].offset))
        return [(record, why) for _, record, why in self._rejected]

    def events(self) -> "CandidateEvents":
        """The events of the records that are left, in order."""
        timestamp_ms = np.array([record.timestamp for record in self.record], np.int64)
        if not self._has_several:
            line = np.zeros(len(self.record), np.int64)
            whole = cast(list[BehaviorEvent], self.outcome)
            return CandidateEvents(whole, line, self.partition, self.offset, timestamp_ms, self.row)
        groups = [one.events if isinstance(one, Several) else (one,) for one in self.outcome]
        counts = np.array([len(group) for group in groups], np.int64)
        ends = np.cumsum(counts)
        line = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        of_records = (self.partition, self.offset, timestamp_ms, self.row)
        return CandidateEvents(
            list(chain.from_iterable(groups)), line, *(np.repeat(column, counts) for column in of_records)
        )

    def _retain(self, retained: Flags) -> None:
        self.record = list(compress(self.record, retained))
        self.outcome = list(compress(self.outcome, retained))
        self.part, self.partition = self.part[retained], self.partition[retained]
        self.offset, self.row = self.offset[retained], self.row[retained]


def _wrong_partition(user_id: str, home: int) -> Rejected:
    reason = (
        f"user {quote(user_id)} belongs to partition {home}: all producers must choose the partition by the user "
        "alike, and know of added partitions within the setting `partition_handover_s`; `thalweg rekey` writes a topic "
        "with the user as the key"
    )
    return Rejected(reason, "partition")
