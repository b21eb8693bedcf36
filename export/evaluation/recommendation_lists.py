"""The lists that a model recommends: their coverage of the catalogue, and the popularity of their items."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.evaluation.queries import queries
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

K = 20
LISTS = 20_000  # at most; a list costs about as much as a rank
TILE_SCORES = 4_000_000  # in memory at a time
SEED = 0


def describe_lists(
    bundle: Bundle, stepper: Stepper, scored: ScoredEvents, popularity: NDArray[np.int64] | None
) -> dict[str, Any]:
    """Describe the exact top 20 before at most LISTS scored events, which are drawn at random with a fixed seed.

    popularity: (N + 1,) number of events by item index, None without such counts.

        lists, seconds            number of lists, and the time for all of them
        coverage                  share of the catalogue that is in at least one list
        percentile_recommended    mean place in the order of training events, from 0 (least popular) to 1 (most popular)
        percentile_actual         the same for the actual items of the events
        arp_recommended           mean number of events of an item (average recommendation popularity), None without
                                  `popularity`
        arp_actual                the same for the actual items of the events
    """
    began_s = time.perf_counter()
    items = bundle.manifest.items
    chosen = np.arange(len(scored.target))
    if len(chosen) > LISTS:
        chosen = np.sort(np.random.default_rng(SEED).choice(chosen, LISTS, replace=False))
    user, seen = scored.user[chosen], scored.steps[chosen]
    recommended = np.zeros(items + 1, np.int64)  # number of lists with each item
    for _, query in queries(bundle, stepper, scored.sequences, user, seen):
        recommended += np.bincount(top_items(bundle, query).ravel(), minlength=items + 1)
    actual = np.bincount(scored.item[chosen], minlength=items + 1)
    actual[0] = 0  # outside the catalogue
    percentile = 1 - (np.arange(items + 1) - 1) / max(1, items - 1)
    return {
        "lists": len(chosen),
        "seconds": round(time.perf_counter() - began_s, 2),
        "coverage": float((recommended > 0).sum() / max(1, items)),
        "percentile_recommended": _weighted_mean(percentile, recommended),
        "percentile_actual": _weighted_mean(percentile, actual),
        "arp_recommended": None if popularity is None else _weighted_mean(popularity, recommended),
        "arp_actual": None if popularity is None else _weighted_mean(popularity, actual),
    }


def top_items(bundle: Bundle, query: NDArray[np.float32], k: int = K) -> NDArray[np.int64]:
    """(m, Q) queries -> (m, min(k, N)) indices of the best items, in no order."""
    items = bundle.manifest.items
    k = min(k, items)
    rows = max(1, TILE_SCORES // items)
    parts = [np.empty((0, k), np.int64)]
    for begin in range(0, len(query), rows):
        scores = bundle.scores(query[begin : begin + rows])
        parts.append(np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:] + 1)
    return np.concatenate(parts)


def _weighted_mean(values: NDArray[Any], weights: NDArray[np.int64]) -> float | None:
    """The mean of the values with these weights; None where all weights are 0."""
    return float(values @ weights / weights.sum()) if weights.sum() else None
