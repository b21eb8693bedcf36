"""The effect of each event of a user: the user's history is replayed without the event, exactly.

All n histories that lack one event are stepped side by side. History i has the state of the whole history up to event
i, leaves event i out, and goes on from there. An event that is left out never happened, so the gap after it counts from
the event before.
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
from export.runtime.queries import recent_items
from export.runtime.stepper import Stepper


class Explanation(NamedTuple):
    """The effect of each of a user's n events, in their order. "Without" means: in the history that lacks the event."""

    events: EventLog  # the user's n events
    item: int  # index of the explained item
    score: float  # of the item under the whole history
    rank: int  # of the item under the whole history
    recent: list[tuple[int, float]]  # index of each recent item, the newest first, and what is added to its score
    moved_cosine: NDArray[np.float64]  # (n,) 1 - cosine of the representations with and without
    moved_l2: NDArray[np.float64]  # (n,) distance of both
    score_without: NDArray[np.float64]  # (n,)
    rank_without: NDArray[np.int64]  # (n,)


def explain(bundle: Bundle, stepper: Stepper, log: EventLog, user_id: str, item_id: str | None = None) -> Explanation:
    """The effect of each of the user's events in `log` on the last representation, and on an item's score and rank.

    item_id: None for the item that ranks first. Raises InputError for a user without events and for an unknown item.
    """
    events = _events_of_user(log, user_id)
    item = bundle.vocabulary.item_index(events)
    action = bundle.vocabulary.action_index(events)
    features = event_features(events, bundle.vocabulary)
    query = leave_one_out(bundle, stepper, item, action, features)
    best = int(bundle.scores(query[-1:])[0].argmax()) + 1
    explained = best if item_id is None else _item_index(bundle, item_id)
    score = bundle.scores_of(query, explained)
    ranks = stepper.rank(query, np.full(len(query), explained)).astype(np.int64)
    representation = query[:, : bundle.manifest.representation_width]
    whole, without = representation[-1].astype(np.float64), representation[:-1].astype(np.float64)
    norms = np.linalg.norm(whole) * np.linalg.norm(without, axis=1)
    return Explanation(
        events=events,
        item=explained,
        score=float(score[-1]),
        rank=int(ranks[-1]),
        recent=_recent(bundle, query[-1:]),
        moved_cosine=1 - without @ whole / np.maximum(norms, 1e-30),
        moved_l2=np.linalg.norm(without - whole, axis=1),
        score_without=score[:-1],
        rank_without=ranks[:-1],
    )


def _recent(bundle: Bundle, query: NDArray[np.float32]) -> list[tuple[int, float]]:
    item, added = recent_items(query, bundle.manifest.recent_places)
    return [(one, score) for one, score in zip(item[0].tolist(), added[0].tolist(), strict=True) if one]


def leave_one_out(
    bundle: Bundle,
    stepper: Stepper,
    item: NDArray[np.int64],
    action: NDArray[np.int64],
    features: Features,
) -> NDArray[np.float32]:
    """(n,) events of a user in order of time -> (n + 1, Q): row i without event i, and the last row with all events."""
    n, time_ms = len(item), features[TIME].astype(np.int64)
    gap_ms = gaps_ms(np.zeros(n, np.int64), time_ms)
    state = np.tile(bundle.initial_state, (n + 1, 1))
    representation = np.tile(bundle.initial_representation, (n + 1, 1))
    for step in range(n):
        # The rows before row `step` have already left out their event. Row `step` leaves out this event, so it keeps
        # the state of the whole history up to here. The whole history moves on to the next row.
        state[step + 1], representation[step + 1] = state[step], representation[step]
        active = np.concatenate([np.arange(step), [step + 1]])
        gaps = np.full(len(active), gap_ms[step])
        if step:  # row `step - 1` lacks the event before this one
            gaps[step - 1] = time_ms[step] - time_ms[step - 2] if step > 1 else -1
        inputs = StepInputs(
            item=np.full(len(active), item[step]),
            action=np.full(len(active), action[step]),
            gap_ms=gaps,
            features={name: np.full(len(active), features[name][step]) for name in bundle.features},
        )
        state[active], representation[active] = stepper.step(inputs, state[active])
    return bundle.queries(representation, state)


def _events_of_user(log: EventLog, user_id: str) -> EventLog:
    events = log[log.user == log.user_ids.index(user_id)] if user_id in log.user_ids else log[:0]
    if not len(events):
        raise InputError(f"user {user_id!r} has no event in the log: check the id, --first and --rest")
    return events


def _item_index(bundle: Bundle, item_id: str) -> int:
    if item_id not in bundle.item_index:
        raise InputError(f"item {item_id!r} is not in the catalogue of {bundle.bundle_id}: name one that is")
    return bundle.item_index[item_id]
