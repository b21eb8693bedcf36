"""Scores of items for queries, in batches. Does no I/O.

A score has four parts. The model's part is the dot product of an item's vector and the representation, and what the
user's recent items have besides: docs/contracts.md#representations. Co-occurrence and content come from
`encoder.metrics.hybrid.scores`, and are 0 where the bundle has no file for them.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.hybrid.scores import HybridContext, HybridWeights
from export.runtime.bundle import Bundle
from export.runtime.pre_scores import PreScores, may_be_best
from export.runtime.queries import recent_items
from streams.serve.scoring.directions import directions

SCENARIOS = {"home": "home", "cart": "cart", "new": "home"}  # scenario -> whose weights of the manifest count
# The figures behind both are in docs/decisions.md#approximate-candidates
CANDIDATES = 2_000  # items that an index proposes
FEW_ALLOWED = 64  # where a filter leaves at most this part of the items, all of these are scored


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

    def at(self, place: "slice | NDArray[np.int64]") -> "Scored":
        """The items in these places."""
        item, *parts = self
        return Scored(item[place], *(part[place] for part in parts))


class TopQuery(NamedTuple):
    """A request for the best items of one user."""

    query: NDArray[np.float32]  # (Q,) of `Bundle.queries`
    most: int
    left_out: Sequence[int] = ()  # indices of items that are not recommended
    allowed: NDArray[np.bool_] | None = None  # (N + 1,) by item index, False: not recommended; None: all are allowed
    scenario: str = "home"  # a key of SCENARIOS
    context: Sequence[int] | None = None  # given items, the newest first; None: the user's recent items


class Nearest(Protocol):
    """The part of `streams.serve.scoring.item_index.ItemIndex` that a scorer calls."""

    def nearest(self, query: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...


class Scorer:
    """Scores all items of one bundle, or some of them.

    Once `index` is set, only those items are scored that may be among the best: docs/serving.md#large-catalogues
    """

    index: Nearest | None = None

    def __init__(self, bundle: Bundle) -> None:
        self._places = bundle.manifest.recent_places
        self._hybrid = bundle.hybrid
        weights = bundle.manifest.hybrid
        self._weights = {name: HybridWeights(**weights.get(of, {})) for name, of in SCENARIOS.items()}
        width = bundle.scoring_width
        self.vectors = np.array(bundle.item_vectors[:, :width], np.float32)  # (N + 1, at most R), in memory
        self._pre_scores = PreScores(self.vectors)
        self._directions: _Directions | None = None

    def top(self, queries: Sequence[TopQuery]) -> list[Scored]:
        """The best items for each query. One pass over the items serves all queries that an index does not answer."""
        index = self.index
        if index is None:
            return self.exact(queries)
        found = [self.indexed(one, index) for one in queries]
        left = [one for one, scored in zip(queries, found, strict=True) if scored is None]
        exact = iter(self.exact(left) if left else ())
        return [next(exact) if scored is None else scored for scored in found]

    def exact(self, queries: Sequence[TopQuery]) -> list[Scored]:
        """The result of `top` without an index."""
        scores, bound = self._pre_scores.of(np.stack([one.query[: self.vectors.shape[1]] for one in queries]))
        return [self._best(*one) for one in zip(queries, scores, bound, strict=True)]

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
            self._directions = _Directions.of(self.vectors)
        vectors, pre_scores = self._directions
        scores, bound = pre_scores.of(vectors[item : item + 1])
        scores[0, item - 1] = -np.inf
        _leave_out(scores[0], allowed)
        found = may_be_best(scores[0], count, bound[0]) + 1
        cosine = _dots(vectors[found], vectors[item])
        order = np.argsort(-cosine, kind="stable")[:count]
        return found[order], cosine[order]

    def recent(self, query: NDArray[np.float32]) -> list[int]:
        """The indices of the user's recent items, the newest first."""
        return [item for item, _ in self._repeats(query)]

    def _best(self, wanted: TopQuery, scores: NDArray[np.float32], bound: np.float32) -> Scored:
        """scores: (n,) and bound: of `PreScores.of`. The scores are changed in place."""
        context = self._context(wanted)
        for item, value in self._repeats(wanted.query):
            scores[item - 1] += value
        if context is not None:
            context.add(scores)
        _leave_out(scores, wanted.allowed)
        if wanted.left_out:
            scores[np.array(wanted.left_out) - 1] = -np.inf
        scored = self._scored(wanted.query, context, may_be_best(scores, wanted.most, bound) + 1)
        return scored.at(slice(wanted.most))

    def indexed(self, wanted: TopQuery, index: Nearest) -> Scored | None:
        """The best items among those that the index and the context propose. None where others may be better.

        All items with a part besides the dot product and the content are proposed. Every other item has at most the
        dot product of the last item of the index, and the most that content adds.
        """
        context, allowed = self._context(wanted), wanted.allowed
        if allowed is not None and np.count_nonzero(allowed) <= len(allowed) // FEW_ALLOWED:
            return self._best_of(wanted, context, np.flatnonzero(allowed[1:]) + 1)
        item, dot = index.nearest(wanted.query[: self.vectors.shape[1]], CANDIDATES)
        companions = () if context is None else context.companions
        proposed = _distinct(np.concatenate([item, self.recent(wanted.query), companions]).astype(np.int64))
        found = self._best_of(wanted, context, proposed if allowed is None else proposed[allowed[proposed]])
        if len(found.item) < wanted.most or not len(dot):
            return None
        most_elsewhere = dot[-1] + (0.0 if context is None else context.most_content())
        return found if found.score()[-1] >= most_elsewhere else None

    def _best_of(self, wanted: TopQuery, context: HybridContext | None, item: NDArray[np.int64]) -> Scored:
        """The best of these items, without those that are left out."""
        if wanted.left_out:
            item = item[~np.isin(item, wanted.left_out)]
        return self._scored(wanted.query, context, item).at(slice(wanted.most))

    def _scored(self, query: NDArray[np.float32], context: HybridContext | None, item: NDArray[np.int64]) -> Scored:
        dot = _dots(self.vectors[item], query[: self.vectors.shape[1]])
        none = np.zeros(len(item), np.float32)
        repeat = none.copy()
        for one, value in self._repeats(query):
            repeat[item == one] += value
        co, content = (none, none) if context is None else (context.co_of(item), context.content_of(item))
        found = Scored(item, dot, repeat, co, content)
        return found.at(np.argsort(-found.score(), kind="stable"))

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


class _Directions(NamedTuple):
    """The directions of the items' vectors, for cosines."""

    vectors: NDArray[np.float32]  # (N + 1, R)
    pre_scores: PreScores

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> "_Directions":
        found = directions(vectors)
        return cls(found, PreScores(found))


def _distinct(item: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct items in ascending order. `np.unique` takes four times as long for so few."""
    ordered = np.sort(item)
    found: NDArray[np.int64] = ordered[np.append(True, np.diff(ordered) > 0)]
    return found


def _dots(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, R), (R,) -> (n,) dot products. A dot product does not depend on the other vectors, as it would with BLAS."""
    found: NDArray[np.float32] = np.einsum("ij,j->i", vectors, query)
    return found


def _leave_out(scores: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> None:
    """Set the scores of the items that are not allowed to -inf. scores: of items 1 to N, and more behind them."""
    if allowed is not None:
        np.copyto(scores[: len(allowed) - 1], -np.inf, where=~allowed[1:])
