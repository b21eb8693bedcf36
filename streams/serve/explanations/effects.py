"""The effects of a user's events, and the parts of an item's score. Does no I/O.

The planner of the worker decides which of the events count. So a repeated event and a late event have the effect that
they have in a worker.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.events import BehaviorEvent
from export.evaluation.explanation import Explanation, explain_queries, leave_one_out
from export.runtime.bundle import Bundle
from export.runtime.queries import recent_items
from export.runtime.stepper import Stepper
from streams.engine.arena import Arena
from streams.engine.codec import Several
from streams.engine.features import FeatureReader
from streams.engine.planning.candidates import Part
from streams.engine.planning.plan import Planner


class UserRecord(NamedTuple):
    """A record of one user: its event or its several events, and what the planner reads of the record besides."""

    offset: int
    timestamp: int
    outcome: BehaviorEvent | Several

    def event_ids(self) -> list[str]:
        """The ids of the record's events."""
        return (
            [one.event_id for one in self.outcome.events]
            if isinstance(self.outcome, Several)
            else [self.outcome.event_id]
        )


class Applied(NamedTuple):
    """The events of one user that count, and what each of the newest ones did."""

    query: NDArray[np.float32]  # (Q,) after all of them
    steps: int
    events: list[BehaviorEvent]  # the newest m, the oldest first
    explanation: Explanation  # of m events


def explain_records(
    bundle: Bundle,
    stepper: Stepper,
    records: Sequence[UserRecord],
    item: int | Callable[[NDArray[np.float32]], int],
    most: int,
    steps: int | None = None,
    user_ttl_ms: int | None = None,
) -> Applied:
    """The effects of the newest `most` events of a user whose whole history are these records, in their order.

    item: the index of the item to explain, or what chooses the item by the (Q,) query after all events. steps: leave
    out what counts after so many events. user_ttl_ms: how long a user may stay away before a history expires; only the
    last history counts.
    """
    manifest = bundle.manifest
    arena = Arena(1, manifest.state_width, manifest.representation_width)
    part = Part(0, records, [record.outcome for record in records])
    applied = Planner(bundle.item_index, bundle.action_index, arena, user_ttl_ms).plan([part]).applied
    begins = np.flatnonzero(applied.steps == 0)
    first = int(begins[-1]) if len(begins) else 0
    kept = slice(first, None if steps is None else first + steps)
    events = applied.event[kept]
    time_ms = np.array([event.event_time_ms for event in events], np.int64)
    features = FeatureReader(bundle).read(events)
    query = leave_one_out(bundle, stepper, applied.item[kept], applied.action[kept], features, time_ms, most)
    index = item(query[-1]) if callable(item) else item
    return Applied(query[-1], len(events), events[-most:], explain_queries(bundle, stepper, query, index))


def event_effects(bundle: Bundle, applied: Applied) -> list[dict[str, Any]]:
    """The fields of `streams.serve.routes.questions.bodies.EventEffect`, one mapping for each event."""
    found = applied.explanation
    return [
        {
            "item_id": event.item_id,
            "action": event.action,
            "event_time_ms": event.event_time_ms,
            "is_known_item": event.item_id in bundle.item_index,
            "moved_cosine": cosine,
            "moved_l2": l2,
            "score_change": found.score - score,
            "rank_without": rank,
        }
        for event, cosine, l2, score, rank in zip(
            applied.events,
            found.moved_cosine.tolist(),
            found.moved_l2.tolist(),
            found.score_without.tolist(),
            found.rank_without.tolist(),
            strict=True,
        )
    ]


def score_parts(bundle: Bundle, stepper: Stepper, query: NDArray[np.float32], item: int) -> dict[str, Any]:
    """The fields of `streams.serve.routes.questions.bodies.Explained` that belong to the model's part of a score.

    query: (Q,) of `Bundle.queries`.
    """
    names, vectors = bundle.vocabulary.items, bundle.item_vectors
    vector = vectors[item].astype(np.float64)
    dot = float(query[: len(vector)].astype(np.float64) @ vector)
    recent = _recent(bundle, query)
    repeat = sum(added for one, added in recent if one == item)
    return {
        "bundle_id": bundle.bundle_id,
        "item_id": names[item - 1],
        "model_score": dot + repeat,
        "dot": dot,
        "repeat": repeat,
        "rank": int(stepper.rank(query[None], np.array([item], np.int64))[0]),
        "recent_items": [
            {"item_id": names[one - 1], "repeat": added, "cosine": _cosine(vectors[one].astype(np.float64), vector)}
            for one, added in recent
        ],
    }


def _recent(bundle: Bundle, query: NDArray[np.float32]) -> list[tuple[int, float]]:
    """The indices of the user's last distinct items, the newest first, and what is added to the score of each."""
    places = bundle.manifest.recent_places
    if not places:
        return []
    found, added = recent_items(query[None], places)
    return [(item, score) for item, score in zip(found[0].tolist(), added[0].tolist(), strict=True) if item > 0]


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))
