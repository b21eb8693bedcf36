"""Metrics of the predicted next action. This module is pure.

An action is an index in the vocabulary, and 0 is unknown.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean, share


def action_metrics(probability: NDArray[np.floating], action: NDArray[np.integer], names: list[str]) -> dict[str, Any]:
    """Metrics of n predicted actions.

    probability: (n, A + 1) probabilities of the next action, 0 is unknown. action: (n,) actual next action. names: the
    A known actions. The prediction is the most probable known action, so an unknown action is always missed. Precision,
    recall and F1 are means over the actions that occurred or were predicted. `most_frequent` is the accuracy of a
    constant prediction of the most frequent action.
    """
    predicted = probability[:, 1:].argmax(axis=1) + 1
    width = probability.shape[1]
    confusion = np.bincount(action * width + predicted, minlength=width * width).reshape(width, width)
    by_class = {name: scores for name, scores in zip(["", *names], class_scores(confusion), strict=True) if scores}
    chosen = probability[np.arange(len(action)), action].astype(np.float64)
    return {
        "accuracy": share(np.trace(confusion), len(action)),
        "most_frequent": share(int(confusion.sum(axis=1).max(initial=0)), len(action)),
        **{name: mean([scores[name] for scores in by_class.values()]) for name in ("precision", "recall", "f1")},
        "log_loss": mean(-np.log(np.maximum(chosen, 1e-12))),
        "n": len(action),
        "by_action": by_class,
    }


def class_scores(confusion: NDArray[np.integer] | NDArray[np.float64]) -> list[dict[str, float]]:
    """Precision, recall, F1 and number of events of each of C classes.

    confusion: (C, C) counts or weights [actual, predicted]. A class that is never actual and never predicted has {}. A
    quotient whose denominator is 0 counts as 0, as in the formula of F1.
    """
    hits, actual, predicted = (
        np.diag(confusion).tolist(),
        confusion.sum(axis=1).tolist(),
        confusion.sum(axis=0).tolist(),
    )
    return [
        {
            "precision": hit / p if p else 0.0,
            "recall": hit / a if a else 0.0,
            "f1": 2 * hit / (a + p),
            "n": a,
        }
        if a + p
        else {}
        for hit, a, p in zip(hits, actual, predicted, strict=True)
    ]
