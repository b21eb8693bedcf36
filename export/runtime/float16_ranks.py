"""Ranks in float16, as a GPU computes them: what they lose against float32. Free of torch and of ONNX Runtime.

A GPU multiplies float16 factors, adds in float32 and rounds the sum to float16. ONNX Runtime's CPU provider has no such
product: it computes in float32 and drops the casts, so that what is lost can only be seen by rounding here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle

K = 20  # of Recall@20, MRR@20
BEST = (
    2 * K
)  # a rank moves across K only from near it: the items that float32 ranks up to here are looked at by themselves
SCORES = 16_000_000  # of one tile of states over the catalogue, 64 MB as float32
ALL_SCORES = 1_000_000_000  # of the whole comparison: half a minute
EPSILON = float(np.finfo(np.float16).eps)  # 2^-10, twice what rounding one number can change it by, relatively
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)  # twice what it can by itself, near 0


def round_to_float16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each value as float16 can hold it, infinite above 65,504."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def float16_rank_differences(
    representations: NDArray[np.float32], vectors: NDArray[np.float32], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Ranks in float16 beside those in float32, of (n, D) representations over the (N, D) vectors of items 1..N.

    `any_item`: of an item at random for each representation. `best_items`: of one among its BEST best ones by float32,
    where ranks decide about Recall. Of each: how many `ranks`, `differ_share` of them, `mean_difference` (places; above
    0 where float16 ranks worse, as it does by ties), `mean_abs_difference`, `max_abs_difference`, and
    `crosses_20_share`, of ranks that float16 moves into the first 20 or out of them.
    """
    rng, items = np.random.default_rng(seed), len(vectors)
    representations = representations[: max(1, ALL_SCORES // items)]
    rounded = round_to_float16(vectors)
    exact: dict[str, list[NDArray[np.int64]]] = {"any_item": [], "best_items": []}
    half: dict[str, list[NDArray[np.int64]]] = {name: [] for name in exact}
    for part in _tiles(len(representations), items):
        scores = representations[part] @ vectors.T
        in_float16 = round_to_float16(round_to_float16(representations[part]) @ rounded.T)
        best = np.argpartition(-scores, min(BEST, items) - 1, axis=1)[:, : min(BEST, items)]
        rows = np.arange(len(scores))
        chosen = rng.integers(0, items, len(rows)), best[rows, rng.integers(0, best.shape[1], len(rows))]
        for name, position in zip(exact, chosen, strict=True):
            exact[name].append(_ranks(scores, position))
            half[name].append(_ranks(in_float16, position))
    return {name: _difference(np.concatenate(exact[name]), np.concatenate(half[name])) for name in exact}


def float16_rank_limits(
    bundle: Bundle, representations: NDArray[np.float32], item: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The (n,) best and worst ranks of (n,) items that float16 may give, whatever it adds up first; 0 where unknown.

    Both factors are rounded, and the sum: a score is off by at most EPSILON of the sum of its products' sizes, by half
    of that of its own, and by what the smallest numbers lose.
    """
    vectors = bundle.item_vectors[1:]
    limits = []
    for part in _tiles(len(item), len(vectors)):
        some, position = representations[part], np.maximum(item[part] - 1, 0)
        scores = some.astype(np.float64) @ vectors.T
        of_user, of_items = np.abs(some), np.abs(vectors)
        tiny = SMALLEST * (of_user.sum(axis=1, keepdims=True) + of_items.sum(axis=1) + 1)
        off = 1.5 * EPSILON * (of_user @ of_items.T) + tiny
        target, of_target = (values[np.arange(len(some)), position][:, None] for values in (scores, off))
        known = item[part] > 0
        best = (scores - off > target + of_target).sum(axis=1) + 1
        worst = (scores + off >= target - of_target).sum(axis=1)
        limits.append(np.stack([known * best, known * worst]))
    best, worst = np.concatenate(limits, axis=1)
    return best, worst


def _ranks(scores: NDArray[np.float32], position: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) as the graphs count them: ties count against the item, and what is not a number ranks last."""
    target = scores[np.arange(len(scores)), position][:, None]
    ranks: NDArray[np.int64] = scores.shape[1] - (scores < target).sum(axis=1)
    return ranks


def _difference(exact: NDArray[np.int64], half: NDArray[np.int64]) -> dict[str, float]:
    moved = half - exact
    shares: dict[str, Any] = {
        "differ_share": (moved != 0).mean(),
        "mean_difference": moved.mean(),
        "mean_abs_difference": np.abs(moved).mean(),
        "crosses_20_share": ((exact <= K) != (half <= K)).mean(),
    }
    rounded = {name: float(f"{value:.3g}") for name, value in shares.items()}
    return {"ranks": len(exact), **rounded, "max_abs_difference": int(np.abs(moved).max())}


def _tiles(states: int, items: int) -> Iterator[slice]:
    size = max(1, SCORES // max(1, items))
    return (slice(start, start + size) for start in range(0, states, size))
