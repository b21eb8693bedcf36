"""States of users from the records of the topic alone, and their comparison with the stored rows. Does no I/O."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streams.broker.topics import Topic
from streams.commands.verify.growing_arena import GrowingArena
from streams.commands.verify.result import Verification
from streams.engine.arena import NO_OFFSET, UNKNOWN_MS, StoredUser
from streams.engine.codec import Erasure, Outcome, WithoutUser
from streams.engine.planning.candidates import Part
from streams.engine.planning.repeats import digests
from streams.engine.planning.rows import Rows
from streams.engine.processor import Processor
from streams.engine.stages import Stepped

# Batches of different sizes sum in a different order. A float32 component then differs by about 1e-7 after each step,
# and a recurrent cell forgets old differences.
TOLERANCE = 1e-5
MAX_OFFSET = MAX_STEPS = 2**63 - 1

# Users whose records are applied in one pass over a partition. `home`: users who are stored under this partition, and
# users who are not stored. `away`: users who are stored under another partition.
Users = Literal["all", "home", "away"]


class Recompute:
    """Steps the users of a topic as a worker does, but without the worker's batches, restores and evictions."""

    def __init__(
        self,
        processor: Processor,
        arena: GrowingArena,
        topic: Topic,
        stored: dict[str, StoredUser],
        set_aside: set[tuple[int, int]],
        found: Verification,
    ) -> None:
        """arena: of the processor; stored: the rows by user; set_aside: partition and offset of records that a worker
        rejected for a reason that the record does not tell; found: takes the counts and the differences."""
        self._processor = processor
        self._arena = arena
        self._topic = topic
        self._stored = stored
        self._set_aside = set_aside
        self._found = found
        self._sequence = 0
        self._steps_at_row: dict[str, int] = {}  # by user whose row lacks events, the steps before these events
        self._erased: dict[str, tuple[int, int]] = {}  # by user without a row, the last erasure's partition and time
        self.wrong: list[str] = []  # users whose row a repair may replace: the row differs, is damaged or is missing

    def step(self, partition: int, records: list[Any], outcomes: list[Outcome], users: Users) -> None:
        """Apply the records of these users, up to the later of the user's stored position and the commit.

        records: with `.offset` and `.timestamp`. outcomes: what each of them is.
        """
        found, kept_records, kept = self._found, [], []
        for record, outcome in zip(records, outcomes, strict=True):
            if (partition, record.offset) in self._set_aside:
                found.dead_letters += users != "away"
            elif not self._is_wanted(partition, record.offset, outcome, users):
                continue
            elif users == "all" and self._is_stray(partition, record.timestamp, outcome):
                found.dead_letters += 1
            else:
                kept_records.append(record)
                kept.append(outcome)
        self._sequence += 1
        users_of_batch = {outcome.user_id for outcome in kept if not isinstance(outcome, WithoutUser)}
        self._arena.make_room(len(self._arena.unknown(users_of_batch)))
        self._move_users(partition, kept)
        result = self._processor.process([Part(partition, kept_records, kept)], self._sequence, evaluate=False)
        self._note_lacking_rows(partition, result)
        found.events += len(result.applied.event)
        found.already_applied += result.already_applied
        found.dead_letters += len(result.rejected)
        found.skipped += len(result.skipped)
        found.erasures += len(result.erased)
        found.expired += result.expired

    def _is_wanted(self, partition: int, offset: int, outcome: Outcome, users: Users) -> bool:
        committed = self._topic.committed.get(partition, NO_OFFSET)
        if isinstance(outcome, WithoutUser):
            return offset < committed and users != "away"
        row = self._stored.get(outcome.user_id)
        is_home = row is None or row.partition == partition
        if users != "all" and is_home != (users == "home"):
            return False
        if row is None and isinstance(outcome, Erasure):  # A worker may have applied the erasure since the last commit.
            return True
        is_stored = row is not None and row.partition == partition and offset <= row.offset
        return is_stored or offset < committed

    def _is_stray(self, partition: int, timestamp_ms: int, outcome: Outcome) -> bool:
        """True for a record in a partition that its user does not belong to, in a topic with one epoch.

        A worker has sent a dead letter, which may have expired. A user belongs to the partition of the row. A user
        without a row whose history an erasure has ended belonged to the partition of the erasure: a later record
        elsewhere would have begun a new history, and the time of an earlier record tells that it is a stray.
        """
        if isinstance(outcome, WithoutUser):
            return False
        row = self._stored.get(outcome.user_id)
        if row is not None:
            return row.is_current and row.partition != partition
        home, erased_ms = self._erased.get(outcome.user_id, (partition, timestamp_ms))
        if isinstance(outcome, Erasure) and timestamp_ms >= erased_ms:
            self._erased[outcome.user_id] = partition, timestamp_ms
        return home != partition and timestamp_ms <= erased_ms

    def _note_lacking_rows(self, partition: int, stepped: Stepped) -> None:
        """Note the users whose row lacks an event or an erasure of this batch.

        An event behind the row's position whose id the row remembers is no such event. The worker has recognised the
        event as sent twice, also where the topic does not hold the first copy any more.
        """
        applied = stepped.applied
        rows = [self._stored.get(user_id) for user_id in stepped.rows.user_id]
        ends = [
            row.offset if row is not None and (row.partition == partition or row.offset == NO_OFFSET) else MAX_OFFSET
            for row in rows
        ]
        # The first event of a record stands for the record.
        is_behind = (applied.offset > np.array(ends, np.int64)[applied.row]) & (applied.line == 0)
        behind = np.flatnonzero(is_behind).tolist()
        for at, digest in zip(behind, digests([applied.event[at] for at in behind]).tolist(), strict=True):
            row = rows[applied.row[at]]
            if row is not None and digest not in row.recent:
                self._steps_at_row.setdefault(row.user_id, int(applied.steps[at]))
        for user_id, _, offset in stepped.erased:
            row = self._stored.get(user_id)
            if row is not None and (row.offset == NO_OFFSET or (row.partition == partition and row.offset < offset)):
                self._steps_at_row[user_id] = MAX_STEPS  # Nothing of the row may stay.

    def _move_users(self, partition: int, outcomes: list[Outcome]) -> None:
        """Let users whose earlier events are in another partition continue with their state in this partition."""
        arena = self._arena
        for outcome in outcomes:
            if not isinstance(outcome, WithoutUser):
                slot = arena.slot(outcome.user_id)
                if slot is not None and arena.partition[slot] != partition:
                    arena.partition[slot], arena.offset[slot] = partition, NO_OFFSET

    def compare(
        self, start_offsets: Mapping[int, int], damaged: Collection[str], expired_before_ms: int | None = None
    ) -> None:
        """Compare every recomputed user with the stored row, and take the row out of `stored`.

        start_offsets: by partition, the first offset of the history when the history had been read. damaged: the
        users with a damaged row, which is a difference that is counted already. expired_before_ms: a user whose last
        record is older may have lost the row by expiry.
        """
        arena, found = self._arena, self._found
        is_whole = all(offset <= 0 for offset in start_offsets.values())  # A history with a log begins before 0.
        found.is_topic_complete = is_whole and not found.earlier_topics
        for user_id, slot in arena.users():
            found.users += 1
            row = self._stored.pop(user_id, None)
            if row is None and expired_before_ms is not None and arena.last_record_ms[slot] < expired_before_ms:
                found.expired_rows += 1
            elif row is None:
                self.wrong.append(user_id)
                if user_id not in damaged:
                    found.add_mismatch(
                        f"user {user_id!r} of partition {arena.partition[slot]} has {arena.steps[slot]} committed "
                        "events and no stored row"
                    )
            elif not found.is_topic_complete and self._is_unverifiable(row, slot):
                found.unverifiable += 1
            elif difference := self._difference(row, slot):
                if self._may_replace(row, slot):
                    self.wrong.append(user_id)
                else:
                    difference += "; the user's first events are gone, so a repair leaves the row as it is"
                found.add_mismatch(f"user {user_id!r}: {difference}")

    def _is_unverifiable(self, row: StoredUser, slot: int) -> bool:
        """True for a row that lacks no event of the topic, and that the topic's records do not give.

        Events of the user are gone from the topic. Or the topic holds only the second copy of an event, which the
        worker has not applied.
        """
        arena = self._arena
        partition, offset = int(arena.partition[slot]), int(arena.offset[slot])
        if row.user_id in self._steps_at_row:
            return False
        if (row.partition, row.offset) == (partition, offset):
            recent = [digest for digest in arena.recent[slot].tolist() if digest]
            return row.steps > arena.steps[slot] or (row.steps == arena.steps[slot] and row.recent != recent)
        return row.offset == NO_OFFSET or (row.partition == partition and row.offset < offset)

    def lacks_records(self, user_id: str) -> bool:
        """True for a user whose stored row lacks an event or an erasure that the topic holds."""
        return user_id in self._steps_at_row

    def _may_replace(self, row: StoredUser, slot: int) -> bool:
        """False for a row with events that the topic does not hold any more. The recomputed state would lack them."""
        steps = self._steps_at_row.get(row.user_id, int(self._arena.steps[slot]))
        return self._found.is_topic_complete or row.steps <= steps

    def recomputed(self) -> tuple[Rows, NDArray[np.float32], NDArray[np.float32]]:
        """The recomputed rows of the n wrong users, their states (n, S) and their representations (n, D)."""
        arena = self._arena
        rows = Rows.from_arena(self.wrong, len(self.wrong), arena)
        return rows, arena.state[rows.slot], arena.representation[rows.slot]

    def _difference(self, row: StoredUser, slot: int) -> str | None:
        """What differs between the row and the recomputed user, or None."""
        arena, found = self._arena, self._found
        steps, partition, offset = int(arena.steps[slot]), int(arena.partition[slot]), int(arena.offset[slot])
        if (row.steps, row.partition, row.offset) != (steps, partition, offset):
            return (
                f"stored {row.steps} steps up to partition {row.partition} offset {row.offset}, "
                f"recomputed {steps} steps up to partition {partition} offset {offset}"
            )
        if row.last_record_ms not in (UNKNOWN_MS, arena.last_record_ms[slot]):
            return f"the time of the last record differs after {steps} steps"
        if row.last_time_ms != arena.last_time_ms[slot] or row.last_item != arena.last_item[slot]:
            return f"time or item of the last event differ after {steps} steps"
        difference = max(
            float(np.abs(row.state - arena.state[slot]).max()),
            float(np.abs(row.representation - arena.representation[slot]).max()),
        )
        found.max_abs_diff = max(found.max_abs_diff, difference)
        # A NaN differs too.
        return None if difference <= TOLERANCE else f"after {steps} steps the stored state differs by {difference:.2e}"
