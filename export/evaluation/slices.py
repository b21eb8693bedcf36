"""Metrics of scored events, whole and in slices. Pure."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.ranking import ranking_metrics
from export.evaluation.bootstrap import intervals
from export.evaluation.scored_events import ScoredEvents

CUTOFFS = (5, 10, 20)
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
HISTORY = {"1-2": (1, 2), "3-5": (3, 5), "6-10": (6, 10), "11+": (11, 2**62)}  # label -> events, both ends included
AGE = {"under 1 min": (0, MINUTE_MS), "under 1 h": (MINUTE_MS, HOUR_MS), "under 1 day": (HOUR_MS, DAY_MS)}
OLDER = "1 day and more"
ACTIONS = 20  # the most frequent ones
DECILES = 10

Mask = NDArray[np.bool_]


def summary(ranks: NDArray[np.int64], user: NDArray[np.int64]) -> dict[str, Any]:
    """{"n", "users", "recall@5".."ndcg@20", "interval": {"recall@20": [low, high], "mrr@20": ...}} of (n,) ranks.

    One relevant item an event: recall is the hit rate. None for every metric without events.
    """
    metrics: dict[str, Any] = {}
    for k in CUTOFFS:
        metrics |= {name: value if len(ranks) else None for name, value in ranking_metrics(ranks, k).items()}
    return {**metrics, "n": len(ranks), "users": len(np.unique(user)), "interval": intervals(user, ranks)}


def slices(scored: ScoredEvents, actions: list[str], items: int) -> Iterator[tuple[str, str, Mask]]:
    """Groups of slices, their labels and (m,) masks of the scored events in each; those without events are left out.

    actions: names in index order; items: N, of a catalogue in order of training events, the most frequent first.
    """
    for group, label, mask in _all(scored, actions, items):
        if mask.any():
            yield group, label, mask


def _all(scored: ScoredEvents, actions: list[str], items: int) -> Iterator[tuple[str, str, Mask]]:
    steps, age_ms, item = scored.steps, scored.age_ms, scored.item
    yield "user", "cold (first event)", steps == 0
    yield "user", "warm", steps > 0
    for label, (low, high) in HISTORY.items():
        yield "events of history", label, (steps >= low) & (steps <= high)
    for label, (low, high) in AGE.items():
        yield "state age", label, (age_ms >= low) & (age_ms < high)
    yield "state age", OLDER, age_ms >= DAY_MS
    yield "item", "known", item > 0
    yield "item", "unseen (always a miss)", item == 0
    decile = (item - 1) * DECILES // max(1, items)
    for number in range(DECILES):
        label = f"{number + 1}" + {0: " (most popular)", DECILES - 1: " (least popular)"}.get(number, "")
        yield "item popularity decile", label, (item > 0) & (decile == number)
    action = scored.sequences.action[scored.target]
    counts = np.bincount(action, minlength=len(actions) + 1)
    for index in np.argsort(-counts, kind="stable")[:ACTIONS].tolist():
        yield "action", actions[index - 1] if index else "unknown", action == index
