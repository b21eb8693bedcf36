"""Metrics of the heads: of the next action, of the time to it, and of churn. Pure numpy, free of torch.

Actions are indices, 0 unknown; times are mixtures of `encoder.time_mixture`.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.time_mixture import OFFSET_S, TimeMixture

CHURN_DAYS = (1, 7, 30)
DAY_MS = 86_400_000
CENTRAL = (0.5, 0.8, 0.9)  # shares of the time's distribution that its central intervals hold
RISK_GROUPS = 10  # of a reliability table

Ints = NDArray[np.integer]
Mask = NDArray[np.bool_]


def action_metrics(probability: NDArray[np.floating], action: Ints, names: list[str]) -> dict[str, Any]:
    """(n, A + 1) probabilities of the next action, (n,) the one that came, the A known names -> metrics.

    The prediction is the most probable known action, so an unknown one is always missed. Macro figures are means over
    the actions that came or were predicted. `most_frequent` is the accuracy of always naming the commonest action.
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


def class_scores(confusion: Ints | NDArray[np.float64]) -> list[dict[str, float]]:
    """(C, C) counts or weights [came, predicted] -> precision, recall, F1 and n of each class; {} where it never occurs
    in either.

    A figure without events behind it is 0, as in F1's own formula.
    """
    hits, came, predicted = np.diag(confusion).tolist(), confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    return [
        {
            "precision": hit / p if p else 0.0,
            "recall": hit / c if c else 0.0,
            "f1": 2 * hit / (c + p),
            "n": c,
        }
        if c + p
        else {}
        for hit, c, p in zip(hits, came, predicted, strict=True)
    ]


class TimeScores(NamedTuple):
    """Of n events, float64, rounded as evaluation events carry them: sums offline and online are the same."""

    log_likelihood: NDArray[np.float64]  # log density of the gap that came, per second; 4 decimals
    quantile: NDArray[np.float64]  # share of the gap's distribution that lies up to the gap that came; 4 decimals
    expected_ms: NDArray[np.float64]  # median of the gap's distribution, whole milliseconds

    @classmethod
    def of(cls, foreseen: TimeMixture, gap_ms: Ints) -> "TimeScores":
        """n mixtures from before events of users with history, (n,) gaps that came."""
        gap_s = gap_ms / 1000
        return cls(
            foreseen.log_density(gap_s).round(4),
            foreseen.cumulative(gap_s).round(4),
            (foreseen.median_s() * 1000).round(),
        )


def time_metrics(mixture: NDArray[np.floating], gap_ms: Ints, watched_ms: Ints) -> dict[str, Any]:
    """(n, 3K) mixtures from before events of users with history, (n,) gaps that came, (n,) time from the event before
    to the log's end -> metrics.

    The prediction is the median. Errors are of y = log(OFFSET_S + gap in s), in which a minute for two and a day for
    two weigh the same, and, as a mean and a median, of seconds; the mean is ruled by the few longest gaps.
    `deciles` and `calibration_error` are of P(up to gap), as the monitor counts them. Only gaps within what was watched
    could come: those of `watched` are of P(up to gap) / P(up to watched), uniform where mixtures are right, however
    short the log, and so is its `coverage`: central interval -> share of gaps in it.
    """
    foreseen = TimeMixture(mixture)
    scores = TimeScores.of(foreseen, gap_ms)
    log_error = np.log(OFFSET_S + scores.expected_ms / 1000) - np.log(OFFSET_S + gap_ms / 1000)
    error_s = np.abs(scores.expected_ms - gap_ms) / 1000
    seen = np.maximum(foreseen.cumulative(watched_ms / 1000), np.finfo(np.float64).tiny)
    quantile = np.minimum(foreseen.cumulative(gap_ms / 1000) / seen, 1.0)
    return {
        "log_likelihood": mean(scores.log_likelihood),
        "log_mse": mean(log_error**2),
        "log_mae": mean(np.abs(log_error)),
        "mae_s": mean(error_s),
        "median_absolute_error_s": float(np.median(error_s)) if len(error_s) else float("nan"),
        **calibration(scores.quantile),
        "watched": {
            **calibration(quantile),
            "coverage": {f"{part:.0%}": mean(np.abs(quantile - 0.5) <= part / 2) for part in CENTRAL},
        },
        "n": len(gap_ms),
    }


def calibration(quantile: NDArray[np.floating]) -> dict[str, Any]:
    """(n,) probability integrals -> the share of them in each tenth of 0..1, and how far from even that is."""
    counts = deciles(quantile)
    return {
        "deciles": [share(count, len(quantile)) for count in counts.tolist()],
        "calibration_error": calibration_error(counts),
    }


def deciles(quantile: NDArray[np.floating]) -> NDArray[np.int64]:
    """(n,) probability integrals -> (10,) how many lie in each tenth of 0..1."""
    return np.bincount(np.minimum(quantile * 10, 9).astype(np.int64), minlength=10)


def calibration_errors(time: dict[str, Any]) -> str:
    """Both of `time_metrics` in words, so that they are not taken for each other."""
    return (
        f"calibration error {time['watched']['calibration_error']:.3f} corrected for the log's end; raw, as the "
        f"monitor shows it, {time['calibration_error']:.3f}: times that the log's end cut off are missing there"
    )


def calibration_error(counts: Ints) -> float:
    """(10,) counts of `deciles` -> the least share of events that would have to move for all to be equal: 0 to 0.9."""
    total = counts.sum()
    return float(np.abs(counts / total - 0.1).sum() / 2) if total else float("nan")


def churn_outcomes(gap_ms: Ints, starts: Ints, time_ms: Ints, end_ms: int, days: float) -> tuple[Mask, Mask]:
    """Which events' users stayed silent for `days` after them: (n,) bool whether that is known, (n,) bool whether so.

    gap_ms, time_ms: (n,) of the events of `Sequences`, whose users begin at `starts`. Known is the outcome of all
    events that lie `days` before the log's end, and only of these: of later ones those that came back would be known
    and those that did not would not, which would make churn look rarer than it is.
    """
    horizon_ms = int(days * DAY_MS)
    following_ms = np.append(gap_ms[1:], 0).astype(np.int64)
    following_ms[starts[1:] - 1] = np.iinfo(np.int64).max  # after a user's last event nothing came
    return time_ms + horizon_ms <= end_ms, following_ms > horizon_ms


def churn_metrics(mixture: NDArray[np.floating], known: Mask, churned: Mask, days: float) -> dict[str, Any]:
    """(n, 3K) mixtures from after events and the outcomes of `churn_outcomes` -> AUC and Brier score of the risk.

    `constant_brier` is that of always naming the share that churned, which no one could have known beforehand.
    `reliability`: the events in RISK_GROUPS of equal size by ascending risk, [{"risk", "churned", "n"}].
    """
    risk, churned = TimeMixture(mixture[known]).silence(days * DAY_MS / 1000), churned[known]
    rate = mean(churned)
    groups = np.array_split(np.argsort(risk, kind="stable"), RISK_GROUPS)
    return {
        "auc": auc(risk, churned),
        "brier": mean((risk - churned) ** 2),
        "constant_brier": rate * (1 - rate),
        "mean_risk": mean(risk),
        "churned": rate,
        "n": len(risk),
        "reliability": [
            {"risk": mean(risk[group]), "churned": mean(churned[group]), "n": len(group)}
            for group in groups
            if len(group)
        ],
    }


def auc(score: NDArray[np.floating], positive: Mask) -> float:
    """Probability that a positive scores above a negative, ties counting half; nan where there are not both."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # the mean rank of equal scores, from 1
    return float((rank[place][positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def share(count: float, total: int) -> float:
    return float(count / total) if total else float("nan")


def mean(values: NDArray[np.floating] | Mask | list[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
