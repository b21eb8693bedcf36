"""Steps the events of a session without history through the worker's own processor. Nothing is stored."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.contract.incoming_event import MAX_AHEAD_MS
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
    """These events as a worker reads them now.

    Raises ProblemError for an event that a worker would make a dead letter.
    """
    outcomes: list[BehaviorEvent] = []
    now_ms = int(time.time() * 1000)
    for place, event in enumerate(events):
        fields = event.model_dump(exclude_none=True)
        value = msgspec.json.encode({"event_id": str(place), "user_id": USER, **fields})
        outcome = judge_value(value).outcome
        if isinstance(outcome, Rejection):
            raise ProblemError(
                422, "invalid-request", "An event cannot be applied", f"events.{place}: {outcome.reason}"
            )
        if (ahead_ms := outcome.event_time_ms - now_ms) > MAX_AHEAD_MS:
            raise _too_early(f"events.{place}.event_time_ms is {outcome.event_time_ms}, {ahead_ms} ms")
        outcomes.append(outcome)
    return outcomes


def _too_early(what: str) -> ProblemError:
    """The problem of an event of the future. The document cannot name the limit, which moves with the clock."""
    detail = f"{what} after the server's clock; the limit is {MAX_AHEAD_MS} ms: give milliseconds since 1970"
    return ProblemError(409, "future-event", "An event of the future", detail)


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
