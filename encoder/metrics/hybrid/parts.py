"""Scores of all items for some questions, by each part of a hybrid score alone. This module is pure.

Popularity orders the items that co-occurrence or content alone do not tell apart.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.hybrid.scores import Hybrid, HybridWeights

RANKINGS = ("hybrid", "model", "co", "content", "popularity")
TIE = 1e-6  # what the most popular item has besides where co-occurrence or content is alone

Scores = NDArray[np.floating[Any]]


class Parts(NamedTuple):
    """(k, N) float32 scores of N items for k questions, co-occurrence and content with the weight 1."""

    model: NDArray[np.float32]
    co: NDArray[np.float32]
    content: NDArray[np.float32]

    @classmethod
    def of(cls, hybrid: Hybrid, model: NDArray[np.float32], contexts: Sequence[Sequence[int]]) -> "Parts":
        """model: (k, N) the model's scores. contexts: items of each question, the newest first."""
        parts = cls(model, np.zeros_like(model), np.zeros_like(model))
        for row, context in enumerate(contexts):
            hybrid.context(context, HybridWeights(co=1.0)).add(parts.co[row])
            hybrid.context(context, HybridWeights(content=1.0)).add(parts.content[row])
        return parts

    def scores(self, weights: HybridWeights, popularity: NDArray[np.int64]) -> dict[str, Scores]:
        """Ranking of RANKINGS -> (k, N) scores, each an array of its own. popularity: (N,) counts of the items."""
        tie = TIE * popularity / max(1, int(popularity.max(initial=0)))
        return {
            "hybrid": self.model + np.float32(weights.co) * self.co + np.float32(weights.content) * self.content,
            "model": self.model.copy(),
            "co": self.co + tie,
            "content": self.content + tie,
            "popularity": np.tile(popularity.astype(np.float64), (len(self.model), 1)),
        }
