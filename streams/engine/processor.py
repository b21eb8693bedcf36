"""What a micro-batch does to users' states. Pure but for the graphs it calls: records in, outcome out.

The worker runs it between reading rows and writing them; `thalweg verify` and the tests run it with neither, so all of
them step by one implementation.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from streams.engine.arena import Arena
from streams.engine.codec import Rejected
from streams.engine.features import FeatureReader
from streams.engine.foresight import Foresight
from streams.engine.planning.plan import Columns, Erased, Part, Planner
from streams.engine.planning.rows import NO_SLOT, Rows
from streams.engine.sampling import EVERYTHING, Sample


class Graphs(Protocol):
    """The part of a Stepper that the processor calls."""

    def step(
        self, inputs: StepInputs, state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

    def predict(
        self, representation: NDArray[np.float32], item: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]: ...


class Result(msgspec.Struct, kw_only=True):
    """Everything that follows from a micro-batch, before any of it has left the process.

    evaluated: (n,) int64 positions among the columns of the events that were scored, in order; empty if not asked for.
    before: (n, D) float32 representation before each of these, until they are scored.
    ranks: (n,) int32 under the state before each of these, 0 for an item outside the catalogue.
    foresight: what the heads foresaw of them beside the item; None if not asked for or without heads.
    state, representation: (rows, S) and (rows, D) float32 after the batch.
    """

    rows: Rows
    columns: Columns
    rejected: list[tuple[Any, Rejected]]  # (record, why)
    erased: list[Erased]  # in order
    already_applied: int
    state: NDArray[np.float32]
    representation: NDArray[np.float32]
    evaluated: NDArray[np.int64] = msgspec.field(default_factory=lambda: np.empty(0, np.int64))
    before: NDArray[np.float32] = msgspec.field(default_factory=lambda: np.empty((0, 0), np.float32))
    ranks: NDArray[np.int32] = msgspec.field(default_factory=lambda: np.empty(0, np.int32))
    foresight: Foresight | None = None

    def changed_rows(self) -> NDArray[np.int64]:
        """Indices of the rows to store."""
        return np.flatnonzero(self.rows.changed & ~self.rows.erased)

    def updated_rows(self) -> NDArray[np.int64]:
        """Indices of the rows to publish: those to store, and those whose records came again."""
        return np.flatnonzero((self.rows.changed | self.rows.replayed) & ~self.rows.erased)


class Processor:
    """Applies micro-batches to an arena, one after another."""

    def __init__(self, bundle: Bundle, graphs: Graphs, arena: Arena, sample: Sample = EVERYTHING) -> None:
        self._planner = Planner(bundle.item_index, bundle.action_index, arena)
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
        arena = self.arena
        missing: dict[str, int] = {}
        for part in parts:
            users = [outcome.user_id for outcome in part.outcomes if not isinstance(outcome, Rejected)]
            for user_id in arena.unknown(users):
                missing.setdefault(user_id, part.partition)
            if sequence is not None:
                slots = arena.slots(users)
                arena.last_used[slots[slots >= 0]] = sequence
        return missing

    def process(self, parts: Sequence[Part], sequence: int, evaluate: bool = True) -> Result:
        """Apply these records as if part after part were applied alone. The arena holds the new states when this
        returns.

        sequence: number of this batch, for the arena's order of use. evaluate: `score` will ask for what it needs.
        """
        result = self._plan(parts)
        if evaluate:
            result.evaluated = self._sample.due(result.columns.partition, result.columns.offset)
        before = self._step(result, len(result.evaluated) > 0)
        if len(result.evaluated):
            result.before = before[result.evaluated]
        self._keep(result, sequence)
        return result

    def score(self, result: Result) -> None:
        """Put ranks and foresight of the sample's events into the result. The arena is not asked: the next batch may be
        processed meanwhile."""
        if len(result.evaluated):
            item = result.columns.item[result.evaluated]
            self._foresee(result, *self._graphs.predict(result.before, item))
            result.before = np.empty_like(result.before[:0])

    def _plan(self, parts: Sequence[Part]) -> Result:
        plan = self._planner.plan(parts)
        state, representation = self._stage(plan.rows)
        return Result(
            rows=plan.rows,
            columns=plan.columns,
            rejected=plan.rejected,
            erased=plan.erased,
            already_applied=plan.already_applied,
            state=state,
            representation=representation,
        )

    def _stage(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """States of the rows before the batch, out of the arena: (rows, S) and (rows, D) float32."""
        state = self.arena.state[rows.slot]
        representation = self.arena.representation[rows.slot]
        fresh = rows.slot == NO_SLOT
        if fresh.any():
            state[fresh] = self._initial_state
            representation[fresh] = self._initial_representation
        return state, representation

    def _step(self, result: Result, evaluate: bool) -> NDArray[np.float32]:
        """Step the staged rows wave by wave. Returns the representation before each event, (n, D) float32."""
        columns = result.columns
        events = StepInputs(columns.item, columns.action, columns.gap_ms, self._features.of(columns.event))
        before = np.empty((len(columns.event) if evaluate else 0, result.representation.shape[1]), np.float32)
        for wave in columns.groups.waves():
            target = columns.row[wave]
            if evaluate:
                before[wave] = result.representation[target]
            state, representation = self._graphs.step(events.at(wave), result.state[target])
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
            action, gap_ms = columns.action[result.evaluated], columns.gap_ms[result.evaluated]
            result.foresight = Foresight.of(probability, mixture, action, gap_ms, self._action_names)

    def _keep(self, result: Result, sequence: int) -> None:
        arena = self.arena
        for erased in result.erased:
            arena.forget(erased.user_id)
        kept = result.changed_rows()
        rows = result.rows.select(kept)
        slots = rows.slot.copy()
        for new in np.flatnonzero(slots == NO_SLOT).tolist():
            slots[new] = arena.allocate(rows.user_id[new])
        arena.state[slots] = result.state[kept]
        arena.representation[slots] = result.representation[kept]
        arena.partition[slots] = rows.partition
        arena.offset[slots] = rows.offset
        arena.steps[slots] = rows.steps
        arena.last_time_ms[slots] = rows.last_time_ms
        arena.last_used[slots] = sequence
        arena.recent[slots] = rows.recent
        arena.keep_last_items(slots, rows.last_item.tolist())
