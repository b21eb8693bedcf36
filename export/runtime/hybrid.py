"""What a hybrid score has beside the model's part: co-occurrence with context items, and content. Does no I/O.

The context is a list of items, the newest first: the user's recent items, or the items of a basket. The item in place p
weighs DECAY ** p.

    co       the weight of co-occurrence times the sum over the context of place weight times similarity, see
             `encoder.metrics.followers.companions`
    content  the weight of content times the share of the context, by place weights, with the same category, plus the
             share with the same brand

docs/decisions.md#hybrid-scores has the figures behind DECAY and WEIGHTS.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HYBRID_FILE = "hybrid.npz"
DECAY = 0.7
# Scenario -> part -> weight. `new` is `home` over the items that are new.
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
        self._features = [_Feature.of(values) for values in features]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Hybrid":
        """The arrays of HYBRID_FILE by name."""
        return cls(
            arrays["starts"].astype(np.int64),
            arrays["items"].astype(np.int32),
            arrays["similarity"].astype(np.float32),
            [arrays[name].astype(np.int32) for name in ("category", "brand")],
        )

    def co(self, context: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(n,) items with co-occurrence, ascending, and (n,) float32 values before the weight."""
        parts = [slice(self._starts[item], self._starts[item + 1]) for item in context]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        found = np.concatenate([self._items[part] for part in parts])
        value = np.concatenate(
            [place * self._similarity[part] for place, part in zip(place_weights(context), parts, strict=True)]
        )
        items, of_item = np.unique(found, return_inverse=True)
        return items.astype(np.int64), np.bincount(of_item, value, len(items)).astype(np.float32)

    def co_of(self, context: Sequence[int], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) items -> (n,) float32 co-occurrence before the weight."""
        items, values = self.co(context)
        if not len(items):
            return np.zeros(len(item), np.float32)
        place = np.minimum(np.searchsorted(items, item), len(items) - 1)
        return np.where(items[place] == item, values[place], np.float32(0))

    def content_of(self, context: Sequence[int], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) items -> (n,) float32 content before the weight."""
        value = np.zeros(len(item), np.float32)
        for feature in self._features:
            for code, share in feature.shares(context):
                value[feature.values[item] == code] += share
        return value

    def add(self, scores: NDArray[np.float32], context: Sequence[int], weights: HybridWeights) -> None:
        """Add both parts to (at least N,) scores, where position p belongs to item p + 1."""
        if weights.co:
            items, values = self.co(context)
            scores[items - 1] += np.float32(weights.co) * values
        if weights.content:
            for feature in self._features:
                for code, share in feature.shares(context):
                    scores[feature.items(code) - 1] += np.float32(weights.content) * share


class _Feature(NamedTuple):
    """One feature of the items, and the items of each of its values."""

    values: NDArray[np.int32]  # (N + 1,) code of each item, 0 is unknown
    order: NDArray[np.int32]  # (N + 1,) items, sorted by their codes
    starts: NDArray[np.int64]  # (codes + 1,) where the items of a code begin in `order`

    @classmethod
    def of(cls, values: NDArray[np.int32]) -> "_Feature":
        order = np.argsort(values, kind="stable").astype(np.int32)
        return cls(values, order, np.searchsorted(values[order], np.arange(int(values.max(initial=0)) + 2)))

    def items(self, code: int) -> NDArray[np.int32]:
        return self.order[self.starts[code] : self.starts[code + 1]]

    def shares(self, context: Sequence[int]) -> list[tuple[int, np.float32]]:
        """The known codes of the context's items, each once, and their shares."""
        weight = place_weights(context)
        found: dict[int, float] = {}
        for item, place in zip(context, weight.tolist(), strict=True):
            if code := int(self.values[item]):
                found[code] = found.get(code, 0.0) + place
        total = float(weight.sum())
        return [(code, np.float32(value / total)) for code, value in found.items()]


def place_weights(context: Sequence[int]) -> NDArray[np.float32]:
    """(n,) float32 weights of the places of a context."""
    return np.float32(DECAY) ** np.arange(len(context), dtype=np.float32)
