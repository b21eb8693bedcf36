"""Ranking metrics from the rank of each actual item in the whole catalogue. This module is pure.

Ranks are never computed among sampled candidates. Each event has one relevant item, so recall@k is the hit rate, and
the ideal DCG is 1 (Järvelin & Kekäläinen 2002).
"""

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean

MISS = 0  # the rank of an item that is not in the catalogue, which is a miss at every k


def ranks_of(scores: NDArray[np.floating], item: NDArray[np.integer]) -> NDArray[np.int64]:
    """(B, N) scores of items 1 to N, (B,) index of the actual item -> (B,) rank of the actual item.

    The rank is the number of items that score at least as high as the actual item, so ties count against the model.
    Index 0 has MISS.
    """
    target = np.take_along_axis(scores, np.maximum(item - 1, 0)[:, None].astype(np.int64), axis=1)
    return np.where(item > 0, (scores >= target).sum(axis=1), MISS)


def recall(ranks: NDArray[np.integer], k: int) -> float:
    """(n,) ranks -> the share of events whose item is among the first k, or nan without events."""
    return mean(_hits(ranks, k))


def mrr(ranks: NDArray[np.integer], k: int) -> float:
    """(n,) ranks -> the mean reciprocal rank, where ranks beyond k count 0, or nan without events."""
    return mean(reciprocal_ranks(ranks, k))


def reciprocal_ranks(ranks: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """(n,) ranks -> (n,) reciprocal ranks, where ranks beyond k count 0."""
    return np.asarray(_hits(ranks, k) / np.maximum(ranks, 1))


def ndcg(ranks: NDArray[np.integer], k: int) -> float:
    """(n,) ranks -> the mean of 1 / log2(1 + rank), where ranks beyond k count 0, or nan without events."""
    return mean(_hits(ranks, k) / np.log2(1 + np.maximum(ranks, 1)))


def ranking_metrics(ranks: NDArray[np.integer], k: int = 20) -> dict[str, float | int]:
    """(n,) ranks -> recall, MRR and NDCG at k, and n."""
    return {
        f"recall@{k}": recall(ranks, k),
        f"mrr@{k}": mrr(ranks, k),
        f"ndcg@{k}": ndcg(ranks, k),
        "n": len(ranks),
    }


def _hits(ranks: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    hits: NDArray[np.bool_] = (ranks > MISS) & (ranks <= k)
    return hits
