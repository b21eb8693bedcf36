"""Ranking metrics from the rank of each actual item in the whole catalogue. Free of torch; no sampled candidates.

One relevant item an event: recall@k is the hit rate, and the ideal DCG is 1 (Järvelin & Kekäläinen 2002).
"""

import numpy as np
from numpy.typing import NDArray

MISS = 0  # rank of an item that is not in the catalogue: it counts as a miss at every k


def ranks_of(scores: NDArray[np.floating], item: NDArray[np.integer]) -> NDArray[np.int64]:
    """(B, N) scores of items 1..N, (B,) index of the actual item -> (B,) its rank, MISS for index 0.

    Ties count against the model: the rank is the number of items that score at least as high.
    """
    target = np.take_along_axis(scores, np.maximum(item - 1, 0)[:, None].astype(np.int64), axis=1)
    return np.where(item > 0, (scores >= target).sum(axis=1), MISS)


def recall(ranks: NDArray[np.integer], k: int) -> float:
    """Share of events whose item is among the first k. (n,) ranks; nan for none."""
    return _mean(_hits(ranks, k).astype(np.float64))


def mrr(ranks: NDArray[np.integer], k: int) -> float:
    """Mean reciprocal rank, 0 beyond k. (n,) ranks; nan for none."""
    return _mean(_hits(ranks, k) / np.maximum(ranks, 1))


def ndcg(ranks: NDArray[np.integer], k: int) -> float:
    """Mean of 1 / log2(1 + rank), 0 beyond k. (n,) ranks; nan for none."""
    return _mean(_hits(ranks, k) / np.log2(1 + np.maximum(ranks, 1)))


def ranking_metrics(ranks: NDArray[np.integer], k: int = 20) -> dict[str, float | int]:
    """Recall, MRR and NDCG at k over (n,) ranks, and n."""
    return {
        f"recall@{k}": recall(ranks, k),
        f"mrr@{k}": mrr(ranks, k),
        f"ndcg@{k}": ndcg(ranks, k),
        "n": len(ranks),
    }


def _hits(ranks: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    hits: NDArray[np.bool_] = (ranks > MISS) & (ranks <= k)
    return hits


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
