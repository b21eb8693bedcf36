"""Metrics of the predicted next action. This module is pure.

An action is an index in the vocabulary, and 0 is unknown.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean, share
from encoder.metrics.binary import auc, average_precision, groups_by_probability


def action_metrics(
    probability: NDArray[np.floating],
    action: NDArray[np.integer],
    names: list[str],
    offsets: list[float] | None = None,
) -> dict[str, Any]:
    """Metrics of n predicted actions.

    probability: (n, A + 1) probabilities of the next action, 0 is unknown. action: (n,) actual next action. names: the
    A known actions. The prediction is the most probable known action, so an unknown action is always missed. Precision,
    recall and F1 are means over the actions that occurred or were predicted.

    Two constants show what takes no skill, and nobody knows both beforehand. `most_frequent` is the accuracy of a
    constant prediction of the most frequent action. `constant_log_loss` is the log loss of constant probabilities that
    are equal to the actions' shares. `skill` is 1 - log loss / constant log loss (McFadden 1974): 0 for the constant, 1
    for certainty about what happened.

    by_action: name -> `class_scores` and `probability_scores` of each action that occurred or was predicted.
    offsets: (A,) of `confusion_matrix`; `adjusted` then has the accuracy, precision, recall and F1 of predictions with
    these offsets. Otherwise `adjusted` is None.
    """
    confusion = confusion_matrix(probability, action)
    named = [("", 0), *((name, index) for index, name in enumerate(names, 1))]
    by_class = {
        name: scores | probability_scores(probability[:, index], action == index)
        for (name, index), scores in zip(named, class_scores(confusion), strict=True)
        if scores
    }
    chosen = probability[np.arange(len(action)), action].astype(np.float64)
    log_loss, constant = mean(-np.log(np.maximum(chosen, 1e-12))), entropy(confusion.sum(axis=1))
    return {
        **_means(confusion),
        "most_frequent": share(int(confusion.sum(axis=1).max(initial=0)), len(action)),
        "log_loss": log_loss,
        "constant_log_loss": constant,
        "skill": 1 - log_loss / constant if constant > 0 else float("nan"),
        "n": len(action),
        "by_action": by_class,
        "adjusted": _means(confusion_matrix(probability, action, offsets)) if offsets else None,
    }


def _means(confusion: NDArray[np.int64]) -> dict[str, float]:
    """The accuracy, and the means of `class_scores`."""
    scores = [found for found in class_scores(confusion) if found]
    means = {name: mean([found[name] for found in scores]) for name in ("precision", "recall", "f1")}
    return {"accuracy": share(np.trace(confusion), int(confusion.sum())), **means}


def entropy(counts: NDArray[np.integer]) -> float:
    """(C,) counts -> the mean of -log(share of its class) over all events, in nats; nan without events."""
    total = int(counts.sum())
    shares = counts[counts > 0] / max(1, total)
    return float((shares * np.log(1 / shares)).sum()) if total else float("nan")


def probability_scores(probability: NDArray[np.floating], occurred: NDArray[np.bool_]) -> dict[str, Any]:
    """How well the probability of one action tells when the action occurs. probability, occurred: (n,).

    An average precision equal to `share`, or an AUC of a half, is no skill. `reliability` holds groups of equal size by
    ascending probability: [{"probability", "occurred", "n"}]. `calibration_error` is the mean distance of both over the
    groups (expected calibration error, Naeini et al. 2015).
    """
    groups = groups_by_probability(probability)
    reliability = [
        {"probability": mean(probability[group].astype(np.float64)), "occurred": mean(occurred[group]), "n": len(group)}
        for group in groups
    ]
    distance = sum(row["n"] * abs(row["probability"] - row["occurred"]) for row in reliability)
    return {
        "share": mean(occurred),
        "mean_probability": mean(probability.astype(np.float64)),
        "auc": auc(probability, occurred),
        "average_precision": average_precision(probability, occurred),
        "calibration_error": share(distance, len(occurred)),
        "reliability": reliability,
    }


def confusion_matrix(
    probability: NDArray[np.floating], action: NDArray[np.integer], offsets: list[float] | None = None
) -> NDArray[np.int64]:
    """(n, A + 1) probabilities, (n,) actual actions -> (A + 1, A + 1) counts [actual, predicted].

    offsets: (A,) what each known action's log-probability gets before the largest one decides; None: nothing.
    """
    score = np.log(np.maximum(probability[:, 1:], np.finfo(np.float32).tiny)) if offsets else probability[:, 1:]
    predicted = (score + np.array(offsets) if offsets else score).argmax(axis=1) + 1
    width = probability.shape[1]
    return np.bincount(action * width + predicted, minlength=width * width).reshape(width, width)


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
