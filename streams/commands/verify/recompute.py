"""States of users from the records of the topic alone, and their comparison with the stored rows. Does no I/O."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streams.broker.topics import Topic
from streams.commands.verify.result import Verification
from streams.engine.arena import NO_OFFSET, StoredUser
from streams.engine.codec import Outcome, Rejected, decode_batch
from streams.engine.planning.candidates import Part
from streams.engine.planning.rows import Rows
from streams.engine.processor import Processor

# Batches of different sizes sum in a different order. A float32 component then differs by about 1e-7 after each step,
# and a recurrent cell forgets old differences.
TOLERANCE = 1e-5

# Users whose records are applied in one pass over a partition. `home`: users who are stored under this partition, and
# users who are not stored. `away`: users who are stored under another partition.
Users = Literal["all", "home", "away"]


class Recompute:
    """Steps the users of a topic as a worker does, but without the worker's batches, restores and evictions."""

    def __init__(
        self,
        processor: Processor,
        topic: Topic,
        stored: dict[str, StoredUser],
        set_aside: set[tuple[int, int]],
        found: Verification,
    ) -> None:
        """stored: the rows by user; set_aside: partition and offset of records that a worker rejected for a reason that
        the record does not tell; found: takes the counts and the differences."""
        self._processor = processor
        self._topic = topic
        self._stored = stored
        self._set_aside = set_aside
        self._found = found
        self._sequence = 0
        self.wrong: list[str] = []  # users whose stored row differs, is damaged or is missing

    def step(self, partition: int, records: list[Any], users: Users) -> None:
        """Apply the records of these users, up to the later of the user's stored position and the commit."""
        found, kept_records, kept = self._found, [], []
        for record, outcome in zip(records, decode_batch(records), strict=True):
            if (partition, record.offset) in self._set_aside:
                found.dead_letters += users != "away"
            elif self._is_wanted(partition, record.offset, outcome, users):
                kept_records.append(record)
                kept.append(outcome)
        self._sequence += 1
        self._move_users(partition, kept)
        result = self._processor.process([Part(partition, kept_records, kept)], self._sequence, evaluate=False)
        found.events += len(result.applied.event)
        found.already_applied += result.already_applied
        found.dead_letters += len(result.rejected)
        found.erasures += len(result.erased)

    def _is_wanted(self, partition: int, offset: int, outcome: Outcome, users: Users) -> bool:
        committed = self._topic.committed.get(partition, 0)
        if isinstance(outcome, Rejected):
            return offset < committed and users != "away"
        row = self._stored.get(outcome.user_id)
        is_home = row is None or row.partition == partition
        if users != "all" and is_home != (users == "home"):
            return False
        is_stored = row is not None and row.partition == partition and offset <= row.offset
        return is_stored or offset < committed

    def _move_users(self, partition: int, outcomes: list[Outcome]) -> None:
        """Let users whose earlier events are in another partition continue with their state in this partition."""
        arena = self._processor.arena
        for outcome in outcomes:
            if not isinstance(outcome, Rejected):
                slot = arena.slot(outcome.user_id)
                if slot is not None and arena.partition[slot] != partition:
                    arena.partition[slot], arena.offset[slot] = partition, NO_OFFSET

    def compare(self) -> None:
        """Compare every recomputed user with the stored row, and take the row out of `stored`."""
        arena, found = self._processor.arena, self._found
        is_topic_complete = not any(self._topic.start_offsets.values()) and not found.earlier_topics
        for user_id, slot in arena.users():
            mismatched = found.mismatched
            found.users += 1
            row = self._stored.pop(user_id, None)
            steps, partition, offset = int(arena.steps[slot]), int(arena.partition[slot]), int(arena.offset[slot])
            if row is None:
                found.add_mismatch(
                    f"user {user_id!r} of partition {partition} has {steps} committed events and no stored row"
                )
            elif not is_topic_complete and row.steps > steps and (row.partition, row.offset) == (partition, offset):
                found.unverifiable += 1
            elif (row.steps, row.partition, row.offset) != (steps, partition, offset):
                found.add_mismatch(
                    f"user {user_id!r}: stored {row.steps} steps up to partition {row.partition} offset {row.offset}, "
                    f"recomputed {steps} steps up to partition {partition} offset {offset}"
                )
            elif row.last_time_ms != arena.last_time_ms[slot] or row.last_item != arena.last_item[slot]:
                found.add_mismatch(f"user {user_id!r}: time or item of the last event differ after {steps} steps")
            else:
                self._compare_vectors(row, slot)
            if found.mismatched > mismatched:
                self.wrong.append(user_id)

    def recomputed(self) -> tuple[Rows, NDArray[np.float32], NDArray[np.float32]]:
        """The recomputed rows of the n wrong users, their states (n, S) and their representations (n, D)."""
        arena = self._processor.arena
        rows = Rows.from_arena(self.wrong, len(self.wrong), arena)
        return rows, arena.state[rows.slot], arena.representation[rows.slot]

    def _compare_vectors(self, row: StoredUser, slot: int) -> None:
        arena, found = self._processor.arena, self._found
        difference = max(
            float(np.abs(row.state - arena.state[slot]).max()),
            float(np.abs(row.representation - arena.representation[slot]).max()),
        )
        found.max_abs_diff = max(found.max_abs_diff, difference)
        if not difference <= TOLERANCE:  # a NaN differs too
            found.add_mismatch(
                f"user {row.user_id!r}: after {row.steps} steps the stored state differs by {difference:.2e}"
            )
