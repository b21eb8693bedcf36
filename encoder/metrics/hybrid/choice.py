"""The choice of the weights of hybrid scores by questions whose answers are known. This module is pure."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.metrics.hybrid.parts import Parts
from encoder.metrics.hybrid.scores import HybridWeights
from encoder.metrics.ranking import mrr, ndcg, recall

K = 20  # of the metrics
CO = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
CONTENT = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
# The weights that are tried, the smallest first. The first are those of the model alone.
GRID = sorted((HybridWeights(co, content) for co in CO for content in CONTENT), key=sum)
MIN_QUESTIONS = 200  # below which chance would choose


class Choice(msgspec.Struct, frozen=True):
    """The weights of one scenario, and what they give on the questions that chose them."""

    weights: dict[str, float]  # part -> weight
    is_fitted: bool  # False: there were too few questions, and the weights are the defaults
    # ranking of `encoder.metrics.hybrid.parts.RANKINGS` -> metrics of `encoder.metrics.ranking.ranking_metrics`
    ranked_by: dict[str, dict[str, float | int]]


# Catalogue -> scenario -> choice. "trained": only items with training events are recommended and asked for, as in a
# bundle of a training. "whole": all items, as in a bundle that also has items without training events.
HybridChoices = Mapping[str, Mapping[str, Choice]]


def grid_ranks(parts: Parts, item: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k,) index of the item that came, above 0 -> (G, k) rank of this item for each of the G weights of GRID.

    Items with an equal score count as ranked above the item that came. A score of the model may be -inf.
    """
    co, content = (np.array([getattr(weights, name) for weights in GRID], np.float32) for name in ("co", "content"))
    largest = HybridWeights(co.max(), content.max())
    ranks = np.empty((len(GRID), len(item)), np.int64)
    for number, (place, *of_question) in enumerate(zip((item - 1).tolist(), *parts, strict=True)):
        model, together, alike = of_question
        # Weights are never negative, so an item that stays below with the largest weights is never above.
        near = np.flatnonzero(model + largest.co * together + largest.content * alike >= model[place])
        scores = model[near] + co[:, None] * together[near] + content[:, None] * alike[near]
        target = scores[:, np.searchsorted(near, place)]
        ranks[:, number] = (scores >= target[:, None]).sum(axis=1)
    return ranks


def choose(ranks: NDArray[np.int64]) -> HybridWeights:
    """(G, n) ranks of `grid_ranks` -> the weights with the highest NDCG@20, and the smallest ones of equal weights.

    Neither Recall@20 nor MRR@20 may be below that of the model alone.
    """
    metrics = np.array([(recall(row, K), mrr(row, K), ndcg(row, K)) for row in ranks])
    is_allowed = (metrics[:, :2] >= metrics[0, :2]).all(axis=1)
    return GRID[int(np.argmax(np.where(is_allowed, metrics[:, 2], -1.0)))]
