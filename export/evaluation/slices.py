"""Metrics of scored events, of all of them and in slices. This module is pure."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.ranking import ranking_metrics
from export.evaluation.bootstrap import intervals
from export.evaluation.scored_events import ScoredEvents

CUTOFFS = (5, 10, 20)
REPEATS = ("same item as the event before", "item seen earlier", "item new to the user")
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
HISTORY = {"1-2": (1, 2), "3-5": (3, 5), "6-10": (6, 10), "11+": (11, 2**62)}  # label -> events, both ends included
AGE_MS = {"under 1 min": (0, MINUTE_MS), "under 1 h": (MINUTE_MS, HOUR_MS), "under 1 day": (HOUR_MS, DAY_MS)}
LARGEST_AGE = "1 day and more"
ACTIONS = 20  # only the most frequent actions are slices
DECILES = 10

Mask = NDArray[np.bool_]


def summary(ranks: NDArray[np.int64], user: NDArray[np.int64]) -> dict[str, Any]:
    """The metrics of (n,) ranks of (n,) users' events.

    {"n", "users", "recall@5".."f1@20", "interval": {"recall@20": [low, high], "mrr@20": ...}}. An event has one
    relevant item. So recall@k is the hit rate, precision@k is recall@k / k, and F1@k is 2 recall@k / (k + 1). Without
    events, each metric is None.
    """
    metrics: dict[str, Any] = {}
    for k in CUTOFFS:
        metrics |= {name: value if len(ranks) else None for name, value in ranking_metrics(ranks, k).items()}
        recall = metrics[f"recall@{k}"]
        metrics[f"precision@{k}"] = None if recall is None else recall / k
        metrics[f"f1@{k}"] = None if recall is None else 2 * recall / (k + 1)
    return {**metrics, "n": len(ranks), "users": len(np.unique(user)), "interval": intervals(user, ranks)}


def summary_by_history(scored: ScoredEvents, ranks: NDArray[np.int64]) -> dict[str, Any]:
    """{"all", "warm": events of users with history, "cold": first events of users} -> `summary` of (m,) ranks."""
    user, warm = scored.user, scored.steps > 0
    return {
        "all": summary(ranks, user),
        "warm": summary(ranks[warm], user[warm]),
        "cold": summary(ranks[~warm], user[~warm]),
    }


def slices(scored: ScoredEvents, actions: list[str], items: int) -> Iterator[tuple[str, str, Mask]]:
    """Groups of slices, their labels, and (m,) masks of the scored events of each slice. Empty slices are left out.

    actions: names in the order of their indices. items: N, of a catalogue in the order of training events, the most
    frequent item first.
    """
    for group, label, mask in _all_slices(scored, actions, items):
        if mask.any():
            yield group, label, mask


def _all_slices(scored: ScoredEvents, actions: list[str], items: int) -> Iterator[tuple[str, str, Mask]]:
    steps, age_ms, item, action = scored.steps, scored.age_ms, scored.item, scored.action
    is_new = scored.sequences.is_new_item[scored.target]
    is_same = item == scored.sequences.previous_item()[scored.target]
    yield "user", "cold (first event)", steps == 0
    yield "user", "warm", steps > 0
    for label, (low, high) in HISTORY.items():
        yield "events of history", label, (steps >= low) & (steps <= high)
    of_repeats = (is_same, ~is_new & ~is_same, is_new)
    for label, mask in zip(REPEATS, of_repeats, strict=True):  # an unknown item may be any item
        yield "repeats, of known items after a user's first event", label, mask & (steps > 0) & (item > 0)
    for label, (low_ms, high_ms) in AGE_MS.items():
        yield "state age", label, (age_ms >= low_ms) & (age_ms < high_ms)
    yield "state age", LARGEST_AGE, age_ms >= DAY_MS
    yield "item", "known", item > 0
    yield "item", "unseen (always a miss)", item == 0
    decile = (item - 1) * DECILES // max(1, items)
    for number in range(DECILES):
        label = f"{number + 1}" + {0: " (most popular)", DECILES - 1: " (least popular)"}.get(number, "")
        yield "item popularity decile", label, (item > 0) & (decile == number)
    counts = np.bincount(action, minlength=len(actions) + 1)
    for index in np.argsort(-counts, kind="stable")[:ACTIONS].tolist():
        yield "action", actions[index - 1] if index else "unknown", action == index
