"""Steps of a bundle one event at a time, as a naive reference."""

import numpy as np

from encoder.data.event_log import EventLog
from export.evaluation import queries
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper


def one_by_one(
    bundle: Bundle, stepper: Stepper, events: list[tuple[int, int, int]]
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Return the queries before the first and after each (item, action, time in ms), as a worker steps them."""
    state, last = bundle.initial_state[None], None
    found = [bundle.initial_query]
    for item, action, time_ms in events:
        gap_ms = -1 if last is None else max(0, time_ms - last)
        last = time_ms if last is None else max(last, time_ms)
        integers = (np.array([value], np.int64) for value in (item, action, gap_ms))
        state, after = stepper.step(StepInputs(*integers, features={}), state)
        found.append(bundle.queries(after, state)[0])
    return found


def ranks_one_by_one(bundle: Bundle, stepper: Stepper, log: EventLog) -> list[int]:
    """Return the rank of each event of the log, in the order of the log."""
    users: dict[str, list[tuple[int, int, int]]] = {}
    ranks = []
    for event in log.events():
        past = users.setdefault(event.user_id, [])
        item = bundle.item_index.get(event.item_id, 0)
        query = one_by_one(bundle, stepper, past)[-1]
        ranks.append(int(stepper.rank(query[None], np.array([item]))[0]))
        past.append((item, bundle.action_index.get(event.action, 0), event.event_time_ms))
    return ranks


def live_ranks(bundle: Bundle, stepper: Stepper, scored: ScoredEvents) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the ranks of the scored events, (n,) int64, as an evaluation computes them."""
    of = (scored.sequences, scored.user, scored.steps, scored.item)
    return queries.ranks(bundle, stepper, *of)
