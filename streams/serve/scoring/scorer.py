"""Scores of items for queries, in batches. Does no I/O.

A score has four parts. The model's part is the dot product of an item's vector and the representation, and what the
user's recent items have besides: docs/contracts.md#representations. Co-occurrence and content come from
`export.runtime.hybrid`, and are 0 where the bundle has no file for them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.hybrid import HybridContext, HybridWeights
from export.runtime.queries import recent_items
from streams.serve.scoring.directions import directions
from streams.serve.scoring.top_items import padded, top_items

SCENARIOS = {"home": "home", "cart": "cart", "new": "home"}  # scenario -> whose weights of the manifest count


class Scored(NamedTuple):
    """Items with the parts of their scores, highest score first. A score is the float64 sum of the parts."""

    item: NDArray[np.int64]  # (n,) index of each item, from 1
    dot: NDArray[np.float32]  # (n,) dot product with the representation
    repeat: NDArray[np.float32]  # (n,) what a recent item has besides, 0 for other items
    co: NDArray[np.float32]  # (n,) weighted co-occurrence with the context
    content: NDArray[np.float32]  # (n,) weighted content in common with the context

    def score(self) -> NDArray[np.float64]:
        """(n,) float64."""
        return self.dot.astype(np.float64) + self.repeat + self.co + self.content


class TopQuery(NamedTuple):
    """A request for the best items of one user."""

    query: NDArray[np.float32]  # (Q,) of `Bundle.queries`
    most: int
    left_out: Sequence[int] = ()  # indices of items that are not recommended
    allowed: NDArray[np.bool_] | None = None  # (N + 1,) by item index, False: not recommended; None: all are allowed
    scenario: str = "home"  # a key of SCENARIOS
    context: Sequence[int] | None = None  # given items, the newest first; None: the user's recent items


class Scorer:
    """Scores all items of one bundle, or some of them."""

    def __init__(self, bundle: Bundle) -> None:
        self._places = bundle.manifest.recent_places
        self._hybrid = bundle.hybrid
        weights = bundle.manifest.hybrid
        self._weights = {name: HybridWeights(**weights.get(of, {})) for name, of in SCENARIOS.items()}
        width = bundle.scoring_width
        self._vectors = np.array(bundle.item_vectors[:, :width], np.float32)  # (N + 1, at most R), in memory
        self._directions: NDArray[np.float32] | None = None

    def top(self, queries: Sequence[TopQuery]) -> list[Scored]:
        """The best items for each query. One pass over the vectors serves all queries."""
        query = np.stack([one.query for one in queries])
        dots = self._dots(query)
        return [self._best(one, row) for one, row in zip(queries, dots, strict=True)]

    def some(self, query: NDArray[np.float32], item: NDArray[np.int64]) -> Scored:
        """Score the items with these indices for one query, in the order of their scores."""
        return self._scored(query, self._context(TopQuery(query, len(item))), item)

    def similar(
        self, item: int, count: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The items whose vectors point most nearly the same way: (n,) indices, (n,) cosines.

        allowed: (N + 1,) by item index; an item that is False does not come. None: all may come.
        """
        if self._directions is None:
            self._directions = directions(self._vectors)
        scores = self._padded(1)
        np.matmul(self._directions[1:], self._directions[item], out=scores[0, : len(self._vectors) - 1])
        scores[0, item - 1] = -np.inf
        _leave_out(scores[0], allowed)
        found = top_items(scores[0], count)
        return found + 1, scores[0, found]

    def recent(self, query: NDArray[np.float32]) -> list[int]:
        """The indices of the user's recent items, the newest first."""
        return [item for item, _ in self._repeats(query)]

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

    def _best(self, wanted: TopQuery, scores: NDArray[np.float32]) -> Scored:
        """scores: (n,) dot products as of `_dots`, which are changed in place."""
        context = self._context(wanted)
        for item, value in self._repeats(wanted.query):
            scores[item - 1] += value
        if context is not None:
            context.add(scores)
        _leave_out(scores, wanted.allowed)
        if wanted.left_out:
            scores[np.array(wanted.left_out) - 1] = -np.inf
        return self._scored(wanted.query, context, top_items(scores, wanted.most) + 1)

    def _scored(self, query: NDArray[np.float32], context: HybridContext | None, item: NDArray[np.int64]) -> Scored:
        dot = self._vectors[item] @ query[: self._vectors.shape[1]]
        repeat, none = np.zeros(len(item), np.float32), np.zeros(len(item), np.float32)
        for one, value in self._repeats(query):
            repeat[item == one] += value
        co, content = (none, none) if context is None else (context.co_of(item), context.content_of(item))
        found = Scored(item, dot, repeat, co, content)
        order = np.argsort(-found.score(), kind="stable")
        return Scored(item[order], dot[order], repeat[order], co[order], content[order])

    def _context(self, wanted: TopQuery) -> HybridContext | None:
        """None where nothing is added to the model's part."""
        items = self.recent(wanted.query) if wanted.context is None else wanted.context
        if self._hybrid is None or not items:
            return None
        return self._hybrid.context(items, self._weights[wanted.scenario])

    def _repeats(self, query: NDArray[np.float32]) -> list[tuple[int, float]]:
        """The recent items, and what their scores have besides."""
        if not self._places:
            return []
        recent, added = recent_items(query[None], self._places)
        return [(item, value) for item, value in zip(recent[0].tolist(), added[0].tolist(), strict=True) if item > 0]


def _leave_out(scores: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> None:
    """Set the scores of the items that are not allowed to -inf. scores: of items 1 to N, and more behind them."""
    if allowed is not None:
        np.copyto(scores[: len(allowed) - 1], -np.inf, where=~allowed[1:])
