"""What is recommended: how much of the catalogue, and how popular, the top 20 before scored events are."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.evaluation.representations import representations
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

K = 20
LISTS = 20_000  # at most: a list costs about as much as a rank
SCORES = 4_000_000  # held at a time
SEED = 0


def describe_lists(
    bundle: Bundle, stepper: Stepper, scored: ScoredEvents, popularity: NDArray[np.int64] | None
) -> dict[str, Any]:
    """Coverage and popularity of the exact top 20 before at most LISTS scored events, drawn at random, seeded.

    popularity: (N + 1,) events per item index, None where nobody counted them.

    {"lists", "seconds", "coverage": share of the catalogue that is in at least one list, "percentile_recommended",
    "percentile_actual": mean place in the order of training events, 1 the most and 0 the least popular,
    "arp_recommended", "arp_actual": mean events per item (average recommendation popularity), None without counts}
    """
    began = time.perf_counter()
    items = bundle.manifest.items
    chosen = np.arange(len(scored.target))
    if len(chosen) > LISTS:
        chosen = np.sort(np.random.default_rng(SEED).choice(chosen, LISTS, replace=False))
    listed = np.zeros(items + 1, np.int64)  # how often each item was in a list
    for _, representation in representations(
        bundle, stepper, scored.sequences, scored.users[chosen], scored.steps[chosen]
    ):
        listed += np.bincount(top_items(representation, bundle.item_vectors).ravel(), minlength=items + 1)
    actual = np.bincount(scored.item[chosen], minlength=items + 1)
    actual[0] = 0  # outside the catalogue
    percentile = 1 - (np.arange(items + 1) - 1) / max(1, items - 1)
    return {
        "lists": len(chosen),
        "seconds": round(time.perf_counter() - began, 2),
        "coverage": float((listed > 0).sum() / max(1, items)),
        "percentile_recommended": _mean(percentile, listed),
        "percentile_actual": _mean(percentile, actual),
        "arp_recommended": None if popularity is None else _mean(popularity, listed),
        "arp_actual": None if popularity is None else _mean(popularity, actual),
    }


def top_items(representation: NDArray[np.float32], item_vectors: NDArray[np.float32], k: int = K) -> NDArray[np.int64]:
    """(m, D) representations, (N + 1, D) item vectors -> (m, min(k, N)) indices of the best items, in no order."""
    vectors = item_vectors[1:].T
    k = min(k, vectors.shape[1])
    rows = max(1, SCORES // vectors.shape[1])
    parts = [np.empty((0, k), np.int64)]
    for begin in range(0, len(representation), rows):
        scores = representation[begin : begin + rows] @ vectors
        parts.append(np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:] + 1)
    return np.concatenate(parts)


def _mean(values: NDArray[Any], times: NDArray[np.int64]) -> float | None:
    """Mean of the values, each counted so many times; None without any."""
    return float(values @ times / times.sum()) if times.sum() else None
