"""Scores of items for queries, in batches. Does no I/O.

A score is the dot product of an item's vector and the representation, and what the user's recent items have besides:
docs/contracts.md#representations.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.queries import recent_items
from streams.serve.scoring.top_items import padded, top_items


class Scored(NamedTuple):
    """Items with their scores, highest first."""

    item: NDArray[np.int64]  # (n,) index of each item, from 1
    dot: NDArray[np.float32]  # (n,) dot product with the representation
    repeat: NDArray[np.float32]  # (n,) what a recent item has besides, 0 for other items


class TopQuery(NamedTuple):
    """A request for the best items of one user."""

    query: NDArray[np.float32]  # (Q,) of `Bundle.queries`
    most: int
    left_out: Sequence[int] = ()  # indices of items that are not recommended
    allowed: NDArray[np.bool_] | None = None  # (N + 1,) by item index; False: not recommended. None: all are allowed


def scoring_width(item_vectors: NDArray[np.float32]) -> int:
    """The number of the first components of a representation that change scores. item_vectors: (N + 1, R).

    Counters end a representation, and item vectors have zeros there: docs/contracts.md#representations.
    """
    return int(np.flatnonzero(np.asarray(item_vectors).any(axis=0)).max(initial=0)) + 1


class Scorer:
    """Scores all items of one bundle, or some of them."""

    def __init__(self, bundle: Bundle) -> None:
        self._places = bundle.manifest.recent_places
        scoring = scoring_width(bundle.item_vectors)
        self._vectors = np.array(bundle.item_vectors[:, :scoring], np.float32)  # (N + 1, at most R), in memory
        self._directions: NDArray[np.float32] | None = None

    def top(self, queries: Sequence[TopQuery]) -> list[Scored]:
        """The best items for each query. One pass over the vectors serves all queries."""
        query = np.stack([one.query for one in queries])
        dots = self._dots(query)
        return [self._best(one, row) for one, row in zip(queries, dots, strict=True)]

    def some(self, query: NDArray[np.float32], item: NDArray[np.int64]) -> Scored:
        """Score the items with these indices for one query, in the order of their scores."""
        dot = self._vectors[item] @ query[: self._vectors.shape[1]]
        repeat = self._repeat(query, item)
        order = np.argsort(-(dot + repeat), kind="stable")
        return Scored(item[order], dot[order], repeat[order])

    def similar(
        self, item: int, count: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The items whose vectors point most nearly the same way: (n,) indices, (n,) cosines.

        allowed: (N + 1,) by item index; an item that is False does not come. None: all may come.
        """
        if self._directions is None:
            length = np.linalg.norm(self._vectors, axis=1, keepdims=True)
            self._directions = self._vectors / np.maximum(length, np.finfo(np.float32).tiny)
        scores = self._padded(1)
        np.matmul(self._directions[1:], self._directions[item], out=scores[0, : len(self._vectors) - 1])
        scores[0, item - 1] = -np.inf
        _leave_out(scores[0], allowed)
        found = top_items(scores[0], count)
        return found + 1, scores[0, found]

    def recent(self, query: NDArray[np.float32]) -> list[int]:
        """The indices of the user's recent items."""
        if not self._places:
            return []
        found, _ = recent_items(query[None], self._places)
        return [item for item in found[0].tolist() if item > 0]

    def _dots(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, Q) -> (B, n) dot products with items 1 to N, and -inf up to a whole number of blocks."""
        scores, width = self._padded(len(query)), self._vectors.shape[1]
        np.matmul(query[:, :width], self._vectors[1:].T, out=scores[:, : len(self._vectors) - 1])
        return scores

    def _padded(self, rows: int) -> NDArray[np.float32]:
        items = len(self._vectors) - 1
        scores = np.empty((rows, padded(items)), np.float32)
        scores[:, items:] = -np.inf
        return scores

    def _best(self, wanted: TopQuery, dots: NDArray[np.float32]) -> Scored:
        repeat_of: dict[int, np.float32] = {}
        if self._places:
            recent, added = recent_items(wanted.query[None], self._places)
            repeat_of = {item: value for item, value in zip(recent[0].tolist(), added[0], strict=True) if item > 0}
        dot_of = {item: dots[item - 1] for item in repeat_of}
        for item, value in repeat_of.items():
            dots[item - 1] += value
        if wanted.left_out:
            dots[np.array(wanted.left_out) - 1] = -np.inf
        _leave_out(dots, wanted.allowed)
        found = top_items(dots, wanted.most) + 1
        dot = np.array([dot_of.get(one, dots[one - 1]) for one in found.tolist()], np.float32)
        repeat = np.array([repeat_of.get(one, 0) for one in found.tolist()], np.float32)
        return Scored(found, dot, repeat)

    def _repeat(self, query: NDArray[np.float32], item: NDArray[np.int64]) -> NDArray[np.float32]:
        added = np.zeros(len(item), np.float32)
        if self._places:
            recent, score = recent_items(query[None], self._places)
            for one, value in zip(recent[0].tolist(), score[0], strict=True):
                if one > 0:
                    added[item == one] += value
        return added


def _leave_out(scores: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> None:
    """Set the scores of the items that are not allowed to -inf. scores: of items 1 to N, and more behind them."""
    if allowed is not None:
        np.copyto(scores[: len(allowed) - 1], -np.inf, where=~allowed[1:])
