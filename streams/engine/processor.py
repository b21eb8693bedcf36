"""What a micro-batch does to users' states: planned, stepped, scored. Pure but for the graphs that it calls.

The worker runs the processor between reading rows and writing rows. `thalweg verify`, the rebuild of damaged rows and
the tests run the processor as well, so one implementation steps all states.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.predictions import Predictions
from streams.engine.arena import Arena
from streams.engine.codec import WithoutUser
from streams.engine.features import FeatureReader
from streams.engine.foresight import Foresight
from streams.engine.planning.candidates import Part
from streams.engine.planning.plan import AppliedEvents, Planned, Planner
from streams.engine.planning.rows import NO_SLOT, Rows
from streams.engine.sampling import EVERYTHING, Sample
from streams.engine.stages import Scored, Stepped, planned_fields

NOTHING_EVALUATED = np.empty(0, np.int64)


class Graphs(Protocol):
    """The part of a Stepper that the processor calls."""

    def step(
        self, inputs: StepInputs, state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

    def predict(self, query: NDArray[np.float32], item: NDArray[np.int64]) -> Predictions: ...


class Processor:
    """Applies micro-batches to an arena, one after another."""

    def __init__(
        self,
        bundle: Bundle,
        graphs: Graphs,
        arena: Arena,
        sample: Sample = EVERYTHING,
        user_ttl_ms: int | None = None,
    ) -> None:
        """user_ttl_ms: how long a user may stay away before the user's history expires (`engine/planning/expiry.py`).

        Everything that steps users of one keyspace needs the same limit (`Settings.user_ttl_ms`).
        """
        self._planner = Planner(bundle.item_index, bundle.action_index, arena, user_ttl_ms)
        self._action_names = list(bundle.action_index)
        self._features = FeatureReader(bundle)
        self._queries, self._query_width = bundle.queries, bundle.query_width
        self._initial_state = bundle.initial_state
        self._initial_representation = bundle.initial_representation
        self._graphs = graphs
        self._sample = sample
        self.arena = arena
        self.user_ttl_ms = user_ttl_ms  # With a limit, an evicted user without a row may have stayed away.

    def missing(self, parts: Sequence[Part], sequence: int | None = None) -> dict[str, int]:
        """Users of these parts that are not in memory, each with the first partition in which the user occurs.

        The rows of these users must be restored before the parts are processed. The users in memory count as used by
        batch `sequence`, so that an eviction for that batch does not drop them.
        """
        arena = self.arena
        missing: dict[str, int] = {}
        for part in parts:
            users = [outcome.user_id for outcome in part.outcomes if not isinstance(outcome, WithoutUser)]
            for user_id in arena.unknown(users):
                missing.setdefault(user_id, part.partition)
            if sequence is not None:
                slots = arena.slots(users)
                arena.last_used[slots[slots >= 0]] = sequence
        return missing

    def process(self, parts: Sequence[Part], sequence: int, evaluate: bool = True) -> Stepped:
        """Apply these records as if part after part were applied alone. Afterwards the arena holds the new states.

        sequence: the number of this batch, for the order of evictions. evaluate: `score` is called afterwards.
        """
        planned = self._planner.plan(parts)
        stepped = self._step(planned, self._due(planned, evaluate))
        self._keep(stepped, sequence)
        return stepped

    def score(self, stepped: Stepped) -> Scored:
        """Rank the evaluated events. The arena is not read, so the next batch may be processed meanwhile."""
        rank, foresight = np.empty(0, np.int32), None
        if len(stepped.evaluated):
            item = stepped.applied.item[stepped.evaluated]
            predictions = stepped.predictions
            if stepped.before is not None:
                predictions = self._graphs.predict(stepped.before, item)
            assert predictions is not None, "a device predicts while it steps"
            rank, foresight = predictions.rank, self._foresight(stepped, predictions)
        return Scored(
            **planned_fields(stepped),
            state=stepped.state,
            representation=stepped.representation,
            evaluated=stepped.evaluated,
            rank=rank,
            foresight=foresight,
        )

    def _due(self, planned: Planned, evaluate: bool) -> NDArray[np.int64]:
        """Positions among the applied events of the events to score."""
        if not evaluate:
            return NOTHING_EVALUATED
        return self._sample.due(planned.applied.partition, planned.applied.offset)

    def _step(self, planned: Planned, evaluated: NDArray[np.int64]) -> Stepped:
        """Step the rows wave after wave."""
        state, representation = self._states_before(planned.rows)
        applied = planned.applied
        inputs = self._inputs(applied)
        before = np.empty((len(applied.event) if len(evaluated) else 0, self._query_width), np.float32)
        for wave in applied.groups.waves():
            row = applied.row[wave]
            state_before = state[row]
            if len(evaluated):
                before[wave] = self._queries(representation[row], state_before)
            state[row], representation[row] = self._graphs.step(inputs.at(wave), state_before)
        return Stepped(
            **planned_fields(planned),
            state=state,
            representation=representation,
            evaluated=evaluated,
            before=before[evaluated],
            predictions=None,
        )

    def _states_before(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Copies of the rows' states before the batch: (rows, S) and (rows, D) float32."""
        state = self.arena.state[rows.slot]
        representation = self.arena.representation[rows.slot]
        new = rows.slot == NO_SLOT
        if new.any():
            state[new] = self._initial_state
            representation[new] = self._initial_representation
        return state, representation

    def _inputs(self, applied: AppliedEvents) -> StepInputs:
        return StepInputs(applied.item, applied.action, applied.gap_ms, self._features.read(applied.event))

    def _foresight(self, stepped: Stepped, predictions: Predictions) -> Foresight | None:
        """What the heads predicted of each evaluated event; None where the bundle has no heads."""
        if not predictions.action_probability.shape[1]:
            return None
        action, gap_ms = stepped.applied.action[stepped.evaluated], stepped.applied.gap_ms[stepped.evaluated]
        return Foresight.score(
            predictions.action_probability, predictions.time_mixture, action, gap_ms, self._action_names
        )

    def _keep(self, stepped: Stepped, sequence: int) -> None:
        """Put the new states into the arena, and take erased users out of the arena."""
        arena = self.arena
        for row in np.flatnonzero(stepped.rows.erased).tolist():
            arena.forget(stepped.rows.user_id[row])
        changed = stepped.changed_rows()
        rows = stepped.rows.select(changed)
        slots = rows.slot.copy()
        for new in np.flatnonzero(slots == NO_SLOT).tolist():
            slots[new] = arena.allocate(rows.user_id[new])
        arena.state[slots] = stepped.state[changed]
        arena.representation[slots] = stepped.representation[changed]
        arena.partition[slots] = rows.partition
        arena.offset[slots] = rows.offset
        arena.steps[slots] = rows.steps
        arena.last_time_ms[slots] = rows.last_time_ms
        arena.last_record_ms[slots] = rows.last_record_ms
        arena.last_used[slots] = sequence
        arena.recent[slots] = rows.recent
        arena.set_last_items(slots, rows.last_item.tolist())
