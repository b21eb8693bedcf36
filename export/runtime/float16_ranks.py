"""Ranks in float16 on a GPU: how far they differ from ranks in float32.

A GPU multiplies float16 factors, adds the products in float32 and rounds the sum to float16. The CPU provider of ONNX
Runtime has no such product: it computes in float32 and drops the casts. So this module rounds with numpy, and needs
neither torch nor ONNX Runtime. See docs/decisions.md#float16-ranks-are-not-exact
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.queries import recent_items

K = 20  # of Recall@20 and MRR@20
# Float16 moves a rank across K only from near K. So items that float32 ranks up to here are compared by themselves.
BEST = 2 * K
TILE_SCORES = 16_000_000  # of a tile of representations over the catalogue, 64 MB as float32
ALL_SCORES = 1_000_000_000  # of a whole comparison, which then takes half a minute
EPSILON = float(np.finfo(np.float16).eps)  # 2^-10: rounding changes a number by at most half of this, relatively
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)  # near 0, rounding changes a number by at most half of this


def round_to_float16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each value as float16 holds it, as float32: infinite above 65,504."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def float16_rank_differences(
    representations: NDArray[np.float32], vectors: NDArray[np.float32], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Compare ranks in float16 with ranks in float32.

    representations: (n, D); vectors: (N, D) of items 1..N. Each representation ranks one random item of the catalogue
    (`any_item`), and one random item of the BEST items that float32 ranks first (`best_items`), where ranks decide
    about Recall. Both map to:

        ranks                  number of compared ranks
        differ_share           share of ranks that differ
        mean_difference        in places, above 0 where float16 ranks worse, as ties do
        mean_abs_difference    in places
        max_abs_difference     in places
        crosses_20_share       share of ranks that float16 moves into the first 20 or out of them
    """
    rng, items = np.random.default_rng(seed), len(vectors)
    representations = representations[: max(1, ALL_SCORES // items)]
    rounded = round_to_float16(vectors)
    exact: dict[str, list[NDArray[np.int64]]] = {"any_item": [], "best_items": []}
    half: dict[str, list[NDArray[np.int64]]] = {name: [] for name in exact}
    for tile in _tiles(len(representations), items):
        scores = representations[tile] @ vectors.T
        half_scores = round_to_float16(round_to_float16(representations[tile]) @ rounded.T)
        best = np.argpartition(-scores, min(BEST, items) - 1, axis=1)[:, : min(BEST, items)]
        rows = np.arange(len(scores))
        drawn = rng.integers(0, items, len(rows)), best[rows, rng.integers(0, best.shape[1], len(rows))]
        for name, position in zip(exact, drawn, strict=True):
            exact[name].append(_ranks(scores, position))
            half[name].append(_ranks(half_scores, position))
    return {name: _difference(np.concatenate(exact[name]), np.concatenate(half[name])) for name in exact}


def float16_rank_limits(
    bundle: Bundle, queries: NDArray[np.float32], item: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best and the worst rank that float16 may give, (n,) each, in whatever order a device adds; 0 for item 0.

    queries: (n, Q); item: (n,). Float16 rounds both factors and the sum. So a score is off by at most 1.5
    EPSILON of the sum of its products' absolute values, and by what rounding changes near 0.
    """
    vectors = bundle.item_vectors[1:]
    limits = []
    for tile in _tiles(len(item), len(vectors)):
        users, position = queries[tile, : vectors.shape[1]], np.maximum(item[tile] - 1, 0)
        added = np.zeros((len(users), len(vectors)))
        recent, own = recent_items(queries[tile], bundle.manifest.recent_places)
        row, place = np.nonzero(recent)
        added[row, recent[row, place] - 1] = own[row, place]
        scores = users.astype(np.float64) @ vectors.T + added
        user_sizes, vector_sizes = np.abs(users), np.abs(vectors)
        near_zero = SMALLEST * (user_sizes.sum(axis=1, keepdims=True) + vector_sizes.sum(axis=1) + 1)
        error = 1.5 * EPSILON * (user_sizes @ vector_sizes.T + np.abs(added)) + near_zero
        target, target_error = (values[np.arange(len(users)), position][:, None] for values in (scores, error))
        is_known = item[tile] > 0
        best = (scores - error > target + target_error).sum(axis=1) + 1
        worst = (scores + error >= target - target_error).sum(axis=1)
        limits.append(np.stack([is_known * best, is_known * worst]))
    best, worst = np.concatenate(limits, axis=1)
    return best, worst


def _ranks(scores: NDArray[np.float32], position: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, N) scores, (n,) positions -> (n,) ranks as the graphs count: ties against the item, and the last rank for a
    score that is not a number."""
    target = scores[np.arange(len(scores)), position][:, None]
    ranks: NDArray[np.int64] = scores.shape[1] - (scores < target).sum(axis=1)
    return ranks


def _difference(exact: NDArray[np.int64], half: NDArray[np.int64]) -> dict[str, float]:
    moved = half - exact
    means: dict[str, Any] = {
        "differ_share": (moved != 0).mean(),
        "mean_difference": moved.mean(),
        "mean_abs_difference": np.abs(moved).mean(),
        "crosses_20_share": ((exact <= K) != (half <= K)).mean(),
    }
    rounded = {name: float(f"{value:.3g}") for name, value in means.items()}
    return {"ranks": len(exact), **rounded, "max_abs_difference": int(np.abs(moved).max())}


def _tiles(representations: int, items: int) -> Iterator[slice]:
    """Slices of the representations whose scores over the catalogue fit into memory."""
    size = max(1, TILE_SCORES // max(1, items))
    return (slice(start, start + size) for start in range(0, representations, size))
