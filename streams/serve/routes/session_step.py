"""Steps the events of a session without history through the worker's own processor. Nothing is stored."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.contract.judge import judge_value
from encoder.data.contract.rejection import Rejection
from encoder.data.events import BehaviorEvent
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.engine.arena import Arena
from streams.engine.planning.candidates import Part
from streams.engine.processor import Processor
from streams.serve.http.problems import ProblemError
from streams.serve.routes.bodies import Event

USER = "session"  # the one user of the arena


class _Record(NamedTuple):
    """What the planner reads of a record."""

    offset: int
    timestamp: int


def judged(events: Sequence[Event]) -> list[BehaviorEvent]:
    """These events as a worker reads them. Raises ProblemError for an event that a worker would make a dead letter."""
    outcomes: list[BehaviorEvent] = []
    for place, event in enumerate(events):
        fields = event.model_dump(exclude_none=True)
        value = msgspec.json.encode({"event_id": str(place), "user_id": USER, **fields})
        outcome = judge_value(value).outcome
        if isinstance(outcome, Rejection):
            raise ProblemError(
                422, "invalid-request", "An event cannot be applied", f"events.{place}: {outcome.reason}"
            )
        outcomes.append(outcome)
    return outcomes


def step_events(bundle: Bundle, stepper: Stepper, events: Sequence[Event]) -> tuple[NDArray[np.float32], int]:
    """The (Q,) query after these events in their order, and the number of events that count.

    Raises ProblemError as `judged` does.
    """
    manifest = bundle.manifest
    processor = Processor(bundle, stepper, Arena(1, manifest.state_width, manifest.representation_width))
    outcomes = judged(events)
    records = [_Record(place, event.event_time_ms) for place, event in enumerate(outcomes)]
    stepped = processor.process([Part(0, records, outcomes)], 1, evaluate=False)
    return bundle.queries(stepped.representation, stepped.state)[0], int(stepped.rows.steps[0])
