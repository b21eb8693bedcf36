"""Metrics of a probability, or of any score, of an event that happens or does not happen. This module is pure."""

import numpy as np
from numpy.typing import NDArray

GROUPS = 10  # rows of a reliability table

Mask = NDArray[np.bool_]


def auc(score: NDArray[np.floating], positive: Mask) -> float:
    """The probability that a positive scores higher than a negative. score, positive: (n,).

    A tie counts half. The result is nan when all are positive or all are negative.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # equal scores share their mean rank; ranks start at 1
    return float((rank[place][positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(score: NDArray[np.floating], positive: Mask) -> float:
    """The mean of the precisions at the positives, from the highest score down. score, positive: (n,).

    Equal scores come together. Scores that say nothing have the share of positives as their average precision. The
    result is nan without positives.
    """
    if not positive.any():
        return float("nan")
    _, place, count = np.unique(-score, return_inverse=True, return_counts=True)
    hits = np.bincount(place, positive)
    precision = np.cumsum(hits) / np.cumsum(count)
    return float((precision * hits).sum() / hits.sum())


def groups_by_probability(probability: NDArray[np.floating]) -> list[NDArray[np.intp]]:
    """(n,) probabilities -> the positions of GROUPS groups of equal size by ascending probability.

    With fewer events than groups, the empty groups are left out.
    """
    groups = np.array_split(np.argsort(probability, kind="stable"), GROUPS)
    return [group for group in groups if len(group)]
