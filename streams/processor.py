"""What a micro-batch does to users' states. Pure but for the graphs it calls: records in, outcome out.

The worker runs it between reading rows and writing them; `thalweg verify` and the tests run it with neither, so all of
them step by one implementation.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from encoder.events import BehaviorEvent
from encoder.features import Features
from export.bundle import Bundle
from streams.arena import NO_OFFSET, RECENT, Arena
from streams.codec import Erasure, Outcome, Rejected
from streams.features import FeatureReader
from streams.foresight import Foresight
from streams.rejection import quote
from streams.sampling import EVERYTHING, Sample
from streams.waves import waves


class Graphs(Protocol):
    """The part of a Stepper that the processor calls."""

    def step(
        self,
        item: NDArray[np.int64],
        action: NDArray[np.int64],
        gap_ms: NDArray[np.int64],
        state: NDArray[np.float32],
        features: Features,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

    def predict(
        self, representation: NDArray[np.float32], item: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]: ...


NOWHERE = -1  # the partition of a user without history: whichever its first event comes in


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


class Row:
    """One user of a micro-batch, from its first event in it (or its first one after an erasure) to its last."""

    __slots__ = (
        "changed",
        "erased",
        "gap_ms",
        "last_item",
        "last_time_ms",
        "offset",
        "partition",
        "previous_item",
        "recent",
        "replayed",
        "slot",
        "steps",
        "user_id",
    )

    def __init__(self, user_id: str, slot: int | None) -> None:
        self.user_id = user_id
        self.slot = slot  # None: a user without history
        self.offset = NO_OFFSET
        self.steps = 0
        self.last_time_ms = 0
        self.last_item: str | None = None
        self.recent: list[int] = []
        self.partition = NOWHERE  # the one that the user belongs to
        self.changed = False
        self.replayed = False  # a record of it came again: its update may not have been published
        self.erased = False  # an erasure followed in this batch: nothing of this row is kept
        self.gap_ms = -1  # of the event taken last: time since the one before, -1 for the first
        self.previous_item: str | None = None  # the item before the event taken last

    def take(self, event: BehaviorEvent, offset: int) -> bool:
        """Count the event in; False, changing nothing, where a producer had sent it before."""
        digest = xxh3_64_intdigest(event.event_id.encode()) or 1  # 0 marks an empty place
        recent = self.recent
        if digest in recent:
            return False
        if len(recent) == RECENT:
            del recent[0]
        recent.append(digest)
        time_ms = event.event_time_ms
        if self.steps:
            self.gap_ms = max(0, time_ms - self.last_time_ms)
            self.last_time_ms = max(time_ms, self.last_time_ms)
        else:
            self.last_time_ms = time_ms
        self.previous_item, self.last_item = self.last_item, event.item_id
        self.steps += 1
        self.offset = offset
        self.changed = True
        return True


class Columns:
    """The applied events of a micro-batch, part by part and in the order of the partition; every list has one entry an
    event."""

    __slots__ = (
        "action",
        "event",
        "gap_ms",
        "item",
        "offset",
        "partition",
        "previous_item",
        "row",
        "steps",
        "timestamp_ms",
    )

    def __init__(self) -> None:
        self.event: list[BehaviorEvent] = []
        self.partition: list[int] = []
        self.offset: list[int] = []
        self.timestamp_ms: list[int] = []  # of the record
        self.row: list[int] = []
        self.item: list[int] = []
        self.action: list[int] = []
        self.gap_ms: list[int] = []  # -1: no event before
        self.steps: list[int] = []  # before the event
        self.previous_item: list[str | None] = []


class Result(msgspec.Struct, kw_only=True):
    """Everything that follows from a micro-batch, before any of it has left the process.

    evaluated: positions among the columns of the n events that were scored, in order; empty if not asked for.
    before: (n, D) float32 representation before each of these, until they are scored.
    ranks: (n,) int32 under the state before each of these, 0 for an item outside the catalogue.
    foresight: what the heads foresaw of them beside the item; None if not asked for or without heads.
    state, representation: (rows, S) and (rows, D) float32 after the batch.
    """

    rows: list[Row]
    columns: Columns = msgspec.field(default_factory=Columns)
    evaluated: list[int] = []
    before: NDArray[np.float32] = msgspec.field(default_factory=lambda: np.empty((0, 0), np.float32))
    ranks: NDArray[np.int32] = msgspec.field(default_factory=lambda: np.empty(0, np.int32))
    foresight: Foresight | None = None
    state: NDArray[np.float32] = msgspec.field(default_factory=lambda: np.empty((0, 0), np.float32))
    representation: NDArray[np.float32] = msgspec.field(default_factory=lambda: np.empty((0, 0), np.float32))
    rejected: list[tuple[Any, Rejected]] = []  # (record, why)
    erased: list[Erased] = []  # in order
    already_applied: int = 0

    def changed_rows(self) -> list[int]:
        """Indices of the rows to store."""
        return [i for i, row in enumerate(self.rows) if row.changed and not row.erased]

    def updated_rows(self) -> list[int]:
        """Indices of the rows to publish: those to store, and those whose records came again."""
        return [i for i, row in enumerate(self.rows) if (row.changed or row.replayed) and not row.erased]


class Processor:
    """Applies micro-batches to an arena, one after another."""

    def __init__(self, bundle: Bundle, graphs: Graphs, arena: Arena, sample: Sample = EVERYTHING) -> None:
        self._items = bundle.item_index
        self._actions = bundle.action_index
        self._action_names = list(bundle.action_index)
        self._features = FeatureReader(bundle)
        self._initial_state = bundle.initial_state
        self._initial_representation = bundle.initial_representation
        self._graphs = graphs
        self._sample = sample
        self.arena = arena

    def missing(self, parts: Sequence[Part], sequence: int | None = None) -> dict[str, int]:
        """Users of these parts that are not in the arena, each with the first partition that it comes in: their rows
        must be restored first.

        Those that are there count as used by batch `sequence`, so that making room for it does not drop them.
        """
        users = _users(parts)
        slots = [self.arena.slot(user_id) for user_id in users]
        if sequence is not None:
            self.arena.last_used[[slot for slot in slots if slot is not None]] = sequence
        return {user_id: users[user_id] for user_id, slot in zip(users, slots, strict=True) if slot is None}

    def process(self, parts: Sequence[Part], sequence: int, evaluate: bool = True) -> Result:
        """Apply these records as if part after part were applied alone. The arena holds the new states when this
        returns.

        sequence: number of this batch, for the arena's order of use. evaluate: `score` will ask for what it needs.
        """
        result = self._plan(parts)
        if evaluate:
            result.evaluated = self._sample.due(result.columns.partition, result.columns.offset)
        before = self._step(result, bool(result.evaluated))
        if result.evaluated:
            result.before = before[result.evaluated]
        self._keep(result, sequence)
        return result

    def score(self, result: Result) -> None:
        """Put ranks and foresight of the sample's events into the result. The arena is not asked: the next batch may be
        processed meanwhile."""
        if result.evaluated:
            item = np.array(result.columns.item, np.int64)[result.evaluated]
            self._foresee(result, *self._graphs.predict(result.before, item))
            result.before = np.empty_like(result.before[:0])

    def _open(self, users: list[str]) -> list[Row]:
        """A row for each user, with what the arena knows of it."""
        arena = self.arena
        rows = [Row(user_id, arena.slot(user_id)) for user_id in users]
        known = {row.slot: row for row in rows if row.slot is not None}
        slots = list(known)
        columns = (arena.partition, arena.offset, arena.steps, arena.last_time_ms, arena.recent)
        values = zip(known.items(), *(column[slots].tolist() for column in columns), strict=True)
        for (slot, row), last_partition, offset, steps, last_time_ms, recent in values:
            row.partition = last_partition
            row.offset = offset
            row.steps = steps
            row.last_time_ms = last_time_ms
            row.last_item = arena.last_item[slot]
            row.recent = recent if recent[-1] else [digest for digest in recent if digest]
        return rows

    def _plan(self, parts: Sequence[Part]) -> Result:
        rows = self._open(list(_users(parts)))
        result = Result(rows=rows)
        row_of = {row.user_id: index for index, row in enumerate(rows)}
        for part in parts:
            self._take(part, row_of, result)
        result.state, result.representation = self._stage(rows)
        return result

    def _take(self, part: Part, row_of: dict[str, int], result: Result) -> None:
        """Put the part's records where they belong; row_of: the row that a user's next event belongs to."""
        partition, rows, columns = part.partition, result.rows, result.columns
        already_applied = 0
        taken_before = len(columns.event)
        for record, outcome in zip(part.records, part.outcomes, strict=True):
            if isinstance(outcome, Rejected):
                result.rejected.append((record, outcome))
                continue
            user_id = outcome.user_id
            index = row_of[user_id]
            row = rows[index]
            if row.partition == NOWHERE:
                row.partition = partition
            if row.partition != partition:
                result.rejected.append((record, _elsewhere(user_id, row.partition)))
            elif record.offset <= row.offset:
                already_applied += 1
                row.replayed = True
            elif isinstance(outcome, Erasure):
                row.erased = True
                row_of[user_id] = len(rows)  # events that follow belong to a user without history
                rows.append(Row(user_id, None))
                result.erased.append(Erased(user_id, partition, record.offset))
            elif not row.take(outcome, record.offset):
                already_applied += 1
            else:
                columns.event.append(outcome)
                columns.offset.append(record.offset)
                columns.timestamp_ms.append(record.timestamp)
                columns.row.append(index)
                columns.item.append(self._items.get(outcome.item_id, 0))
                columns.action.append(self._actions.get(outcome.action, 0))
                columns.gap_ms.append(row.gap_ms)
                columns.steps.append(row.steps - 1)
                columns.previous_item.append(row.previous_item)
        columns.partition += [partition] * (len(columns.event) - taken_before)
        result.already_applied += already_applied

    def _stage(self, rows: list[Row]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """States of the rows before the batch, out of the arena: (rows, S) and (rows, D) float32."""
        slots = np.array([-1 if row.slot is None else row.slot for row in rows], np.int64)
        state = self.arena.state[slots]
        representation = self.arena.representation[slots]
        fresh = slots < 0
        if fresh.any():
            state[fresh] = self._initial_state
            representation[fresh] = self._initial_representation
        return state, representation

    def _step(self, result: Result, evaluate: bool) -> NDArray[np.float32]:
        """Step the staged rows wave by wave. Returns the representation before each event, (n, D) float32."""
        columns = result.columns
        rows = np.array(columns.row, np.int64)
        item = np.array(columns.item, np.int64)
        action = np.array(columns.action, np.int64)
        gap_ms = np.array(columns.gap_ms, np.int64)
        features = self._features.of(columns.event)
        before = np.empty((len(rows) if evaluate else 0, result.representation.shape[1]), np.float32)
        for wave in waves(rows):
            target = rows[wave]
            if evaluate:
                before[wave] = result.representation[target]
            of_wave = {name: values[wave] for name, values in features.items()}
            state, representation = self._graphs.step(
                item[wave], action[wave], gap_ms[wave], result.state[target], of_wave
            )
            result.state[target] = state
            result.representation[target] = representation
        return before

    def _foresee(
        self,
        result: Result,
        ranks: NDArray[np.int32],
        probability: NDArray[np.float32],
        mixture: NDArray[np.float32],
    ) -> None:
        """Put into the result what `Graphs.predict` gave for its evaluated events."""
        result.ranks = ranks
        if probability.shape[1]:
            columns = result.columns
            action, gap_ms = (np.array(c, np.int64)[result.evaluated] for c in (columns.action, columns.gap_ms))
            result.foresight = Foresight.of(probability, mixture, action, gap_ms, self._action_names)

    def _keep(self, result: Result, sequence: int) -> None:
        arena = self.arena
        for erased in result.erased:
            arena.forget(erased.user_id)
        kept = result.changed_rows()
        if not kept:
            return
        rows = [result.rows[i] for i in kept]
        slots = [slot if (slot := arena.slot(row.user_id)) is not None else arena.allocate(row.user_id) for row in rows]
        arena.state[slots] = result.state[kept]
        arena.representation[slots] = result.representation[kept]
        arena.partition[slots] = [row.partition for row in rows]
        arena.offset[slots] = [row.offset for row in rows]
        arena.steps[slots] = [row.steps for row in rows]
        arena.last_time_ms[slots] = [row.last_time_ms for row in rows]
        arena.last_used[slots] = sequence
        arena.recent[slots] = [row.recent + [0] * (RECENT - len(row.recent)) for row in rows]
        arena.keep_last_items(slots, [row.last_item for row in rows])


def _users(parts: Sequence[Part]) -> dict[str, int]:
    """Every user of these parts with the first partition that it comes in."""
    users: dict[str, int] = {}
    for part in reversed(parts):
        users |= dict.fromkeys((o.user_id for o in part.outcomes if not isinstance(o, Rejected)), part.partition)
    return users


def _elsewhere(user_id: str, partition: int) -> Rejected:
    reason = (
        f"user {quote(user_id)} belongs to partition {partition}: all producers must choose the partition alike, "
        "and know of added partitions within the setting `partition_handover_s`"
    )
    return Rejected(reason, "partition")
