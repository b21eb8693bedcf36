"""What a hybrid score has beside the model's part: co-occurrence with context items, and content. This module is pure.

The context is a list of items, the newest first: the user's recent items, or the items of a basket. The item in place p
weighs DECAY ** p.

    co       the weight of co-occurrence times the sum over the context of place weight times similarity, see
             `encoder.metrics.followers.companions`
    content  the weight of content times the share of the context, by place weights, with the same category, plus the
             share with the same brand

docs/decisions.md#hybrid-scores has the figures behind DECAY and WEIGHTS. `encoder.metrics.hybrid.choice` chooses other
weights for a log.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HYBRID_FILE = "hybrid.npz"
DECAY = 0.7
# Scenario -> part -> weight, where no validation part has chosen others. `new` is `home` over the items that are new.
WEIGHTS = {"home": {"co": 1.0, "content": 2.0}, "cart": {"co": 4.0, "content": 2.0}}


class HybridWeights(NamedTuple):
    """The weights of one scenario."""

    co: float = 0.0
    content: float = 0.0


class Hybrid:
    """The counts and the features of the N items of a bundle."""

    def __init__(
        self,
        starts: NDArray[np.int64],
        items: NDArray[np.int32],
        similarity: NDArray[np.float32],
        features: Sequence[NDArray[np.int32]],
    ) -> None:
        """starts (N + 2,), items (m,), similarity (m,): of the companions of each item.

        features: (N + 1,) category and brand of each item; 0 is unknown.
        """
        self._starts, self._items, self._similarity = starts, items, similarity
        self._features = [_Feature.of(values) for values in features if values.any()]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Hybrid":
        """The arrays of HYBRID_FILE by name."""
        return cls(
            arrays["starts"].astype(np.int64),
            arrays["items"].astype(np.int32),
            arrays["similarity"].astype(np.float32),
            [arrays[name].astype(np.int32) for name in ("category", "brand")],
        )

    def context(self, items: Sequence[int], weights: HybridWeights) -> "HybridContext":
        """What both parts need to know of the context's items, the newest first."""
        places = DECAY ** np.arange(len(items))
        if not items:
            return HybridContext(np.empty(0, np.int32), np.empty(0), [])
        parts = [slice(self._starts[item], self._starts[item + 1]) for item in items]
        companions = np.concatenate([self._items[part] for part in parts])
        place = np.repeat(weights.co * places, [part.stop - part.start for part in parts])
        co = place * np.concatenate([self._similarity[part] for part in parts])
        shares = [
            (feature, feature.shares(items, weights.content * places / places.sum())) for feature in self._features
        ]
        return HybridContext(companions, co, [(feature, table) for feature, table in shares if table is not None])


class HybridContext(NamedTuple):
    """A context with its weights, for the scores of items."""

    companions: NDArray[np.int32]  # (m,) of the context's items; an item may stand several times
    co: NDArray[np.float64]  # (m,) what each of them adds
    shares: "list[tuple[_Feature, _Shares]]"  # the features that some item of the context has

    def co_of(self, item: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) items -> (n,) float32 weighted co-occurrence."""
        order = np.argsort(self.companions, kind="stable")
        companions, sums = self.companions[order], np.append(0.0, np.cumsum(self.co[order]))
        begin, end = (np.searchsorted(companions, item, side) for side in ("left", "right"))
        co: NDArray[np.float32] = (sums[end] - sums[begin]).astype(np.float32)
        return co

    def content_of(self, item: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) items -> (n,) float32 weighted content."""
        value = np.zeros(len(item), np.float32)
        for feature, shares in self.shares:
            value += shares.of_code[feature.values[item]]
        return value

    def most_content(self) -> float:
        """A bound of what content adds to any item: an item that has the best value of each feature."""
        return sum(float(shares.of_code.max()) for _, shares in self.shares)

    def add(self, scores: NDArray[np.float32]) -> None:
        """Add both parts to (at least N,) scores, where position p belongs to item p + 1."""
        np.add.at(scores, self.companions - 1, self.co.astype(np.float32))
        for feature, shares in self.shares:
            item = np.concatenate([feature.items(code) for code in shares.codes])
            scores[item - 1] += shares.of_code[feature.values[item]]


class _Shares(NamedTuple):
    """How much the values of a feature add."""

    codes: list[int]  # values that some item of the context has
    of_code: NDArray[np.float32]  # (codes + 1,) by code, 0 for the unknown value


class _Feature(NamedTuple):
    """One feature of the items, and the items of each of its values."""

    values: NDArray[np.int32]  # (N + 1,) code of each item, 0 is unknown
    order: NDArray[np.int32]  # (N + 1,) items, sorted by their codes
    starts: NDArray[np.int64]  # (codes + 2,) where the items of a code begin in `order`

    @classmethod
    def of(cls, values: NDArray[np.int32]) -> "_Feature":
        order = np.argsort(values, kind="stable").astype(np.int32)
        return cls(values, order, np.searchsorted(values[order], np.arange(int(values.max(initial=0)) + 2)))

    def items(self, code: int) -> NDArray[np.int32]:
        return self.order[self.starts[code] : self.starts[code + 1]]

    def shares(self, items: Sequence[int], weight: NDArray[np.float64]) -> _Shares | None:
        """The sum of the (n,) weights of n items by their codes. None where no item has a known one."""
        found = self.values[np.array(items, np.int64)]
        of_code = np.bincount(found, weight, len(self.starts) - 1).astype(np.float32)
        of_code[0] = 0
        codes = sorted({*found.tolist()} - {0})
        return _Shares(codes, of_code) if codes else None
