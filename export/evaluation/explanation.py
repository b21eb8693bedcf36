"""The effect of each event of a user: the user's history is replayed without the event, exactly.

All histories that lack one event are stepped side by side. History i has the state of the whole history up to event i,
leaves event i out, and goes on from there. An event that is left out never happened, so the gap after it counts from
the event before.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import event_features
from encoder.data.features import Features
from encoder.errors import InputError
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.queries import recent_items
from export.runtime.stepper import Stepper


class Explanation(NamedTuple):
    """The effect of each of a user's last m events, in their order. "Without": in the history that lacks the event."""

    item: int  # index of the explained item
    score: float  # of the item under the whole history
    rank: int  # of the item under the whole history
    recent: list[tuple[int, float]]  # index of each recent item, the newest first, and what is added to its score
    moved_cosine: NDArray[np.float64]  # (m,) 1 - cosine of the representations with and without
    moved_l2: NDArray[np.float64]  # (m,) distance of both
    score_without: NDArray[np.float64]  # (m,)
    rank_without: NDArray[np.int64]  # (m,)


def explain(
    bundle: Bundle, stepper: Stepper, log: EventLog, user_id: str, item_id: str | None = None
) -> tuple[EventLog, Explanation]:
    """The user's n events in `log`, and the effect of each on the last representation, and on an item's score and rank.

    item_id: None for the item that ranks first. Raises InputError for a user without events and for an unknown item.
    """
    events = _events_of_user(log, user_id)
    item = bundle.vocabulary.item_index(events)
    action = bundle.vocabulary.action_index(events)
    features = event_features(events, bundle.vocabulary)
    query = leave_one_out(bundle, stepper, item, action, features, events.time_ms.astype(np.int64))
    return events, explain_queries(bundle, stepper, query, None if item_id is None else _item_index(bundle, item_id))


def explain_queries(
    bundle: Bundle, stepper: Stepper, query: NDArray[np.float32], item: int | None = None
) -> Explanation:
    """The effects of m events, from the (m + 1, Q) queries of `leave_one_out`.

    item: the index of the item to explain. None: the item that ranks first under the whole history.
    """
    explained = int(bundle.scores(query[-1:])[0].argmax()) + 1 if item is None else item
    score = bundle.scores_of(query, explained)
    ranks = stepper.rank(query, np.full(len(query), explained)).astype(np.int64)
    representation = query[:, : bundle.manifest.representation_width]
    whole, without = representation[-1].astype(np.float64), representation[:-1].astype(np.float64)
    norms = np.linalg.norm(whole) * np.linalg.norm(without, axis=1)
    return Explanation(
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
    time_ms: NDArray[np.int64],
    most: int | None = None,
) -> NDArray[np.float32]:
    """(n,) events of a user in the order of their steps -> (m + 1, Q) queries.

    m: the number of the last events that are left out, at most `most`, and n without `most`. Row i lacks the i-th of
    them, and the last row has all events. An event that is older than an earlier one has a gap of 0, as in a worker.
    """
    n = len(item)
    m = n if most is None else min(n, most)
    state = np.tile(bundle.initial_state, (m + 1, 1))
    representation = np.tile(bundle.initial_representation, (m + 1, 1))
    latest_ms = np.full(m + 1, -1, np.int64)  # -1 for a history without an event
    whole = 0
    for step in range(n):
        if step >= n - m:
            # The rows before row `whole` have already left out their event. Row `whole` leaves out this event, so it
            # keeps the state of the whole history up to here. The whole history moves on to the next row.
            for rows in (state, representation, latest_ms):
                rows[whole + 1] = rows[whole]
            whole += 1
        active = np.append(np.arange(whole - 1), whole) if step >= n - m else np.zeros(1, np.int64)
        before_ms = latest_ms[active]
        inputs = StepInputs(
            item=np.full(len(active), item[step]),
            action=np.full(len(active), action[step]),
            gap_ms=np.where(before_ms < 0, -1, np.maximum(0, time_ms[step] - before_ms)),
            features={name: np.full(len(active), features[name][step]) for name in bundle.features},
        )
        state[active], representation[active] = stepper.step(inputs, state[active])
        latest_ms[active] = np.maximum(before_ms, time_ms[step])
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
