"""What each event of a user did: the user's history replayed without it, exactly.

All n histories that lack one event are stepped side by side: history i shares the state of the whole one up to event i,
leaves it out, and goes on from there. The event left out never happened: the gap after it counts from the one before.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import event_features
from encoder.data.features import TIME, Features
from encoder.errors import InputError
from export.evaluation.scored_events import gaps_ms
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper


class Explanation(NamedTuple):
    """Of n events, in their order. `without`: in the history that lacks the event."""

    event: EventLog  # the user's n events
    item: int  # index of the explained item
    score: float
    rank: int
    moved_cosine: NDArray[np.float64]  # (n,) 1 - cosine of the representations with and without
    moved_l2: NDArray[np.float64]  # (n,) distance of the two
    score_without: NDArray[np.float64]  # (n,)
    rank_without: NDArray[np.int64]  # (n,)


def explain(bundle: Bundle, stepper: Stepper, log: EventLog, user_id: str, item_id: str | None = None) -> Explanation:
    """What each of the user's events in `log` did to the representation after all of them, and to the rank of an item.

    item_id: None for the one that ranks first. Raises InputError for a user without events or an unknown item.
    """
    events = _events_of(log, user_id)
    item = bundle.vocabulary.item_index(events)
    action = bundle.vocabulary.action_index(events)
    features = event_features(events, bundle.vocabulary)
    representation = leave_one_out(bundle, stepper, item, action, features)
    whole, without = representation[-1:], representation[:-1]
    scores = bundle.item_vectors[1:] @ whole[0]
    explained = int(scores.argmax()) + 1 if item_id is None else _index(bundle, item_id)
    vector = bundle.item_vectors[explained].astype(np.float64)
    all_ranks = stepper.rank(representation, np.full(len(representation), explained)).astype(np.int64)
    with_norm, without_norm = (
        np.linalg.norm(whole.astype(np.float64)),
        np.linalg.norm(without.astype(np.float64), axis=1),
    )
    cosine = (without.astype(np.float64) @ whole[0].astype(np.float64)) / np.maximum(with_norm * without_norm, 1e-30)
    return Explanation(
        event=events,
        item=explained,
        score=float(whole[0].astype(np.float64) @ vector),
        rank=int(all_ranks[-1]),
        moved_cosine=1 - cosine,
        moved_l2=np.linalg.norm(without.astype(np.float64) - whole, axis=1),
        score_without=without.astype(np.float64) @ vector,
        rank_without=all_ranks[:-1],
    )


def leave_one_out(
    bundle: Bundle,
    stepper: Stepper,
    item: NDArray[np.int64],
    action: NDArray[np.int64],
    features: Features,
) -> NDArray[np.float32]:
    """(n,) events of a user in order of time -> (n + 1, D): row i without event i, the last row with all of them."""
    n, time_ms = len(item), features[TIME].astype(np.int64)
    user = np.zeros(n, np.int64)
    gap_ms = gaps_ms(user, time_ms)
    state = np.tile(bundle.initial_state, (n + 1, 1))
    representation = np.tile(bundle.initial_representation, (n + 1, 1))
    for step in range(n):
        # Rows 0..step - 1 have left out an event before this one. Row `step` stays as the whole history is before this
        # event, which it lacks, and the whole history moves on to the row after it.
        state[step + 1], representation[step + 1] = state[step], representation[step]
        active = np.concatenate([np.arange(step), [step + 1]])
        gaps = np.full(len(active), gap_ms[step])
        if step:  # the row that lacks the event just before
            gaps[step - 1] = time_ms[step] - time_ms[step - 2] if step > 1 else -1
        one_event = {name: np.full(len(active), features[name][step]) for name in bundle.features}
        inputs = StepInputs(np.full(len(active), item[step]), np.full(len(active), action[step]), gaps, one_event)
        state[active], representation[active] = stepper.step(inputs, state[active])
    return representation


def _events_of(log: EventLog, user_id: str) -> EventLog:
    found = log[log.user == log.user_ids.index(user_id)] if user_id in log.user_ids else log[:0]
    if not len(found):
        raise InputError(f"user {user_id!r} has no event in the log: check the id, --first and --rest")
    return found


def _index(bundle: Bundle, item_id: str) -> int:
    if item_id not in bundle.item_index:
        raise InputError(f"item {item_id!r} is not in the catalogue of {bundle.bundle_id}: name one that is")
    return bundle.item_index[item_id]
