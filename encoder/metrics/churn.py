"""Metrics of the predicted churn: the risk that a user has no event within some days. This module is pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean
from encoder.metrics.binary import auc, groups_by_probability
from encoder.metrics.time_mixture import TimeMixture

CHURN_DAYS = (1, 7, 30)
DAY_MS = 86_400_000

Ints = NDArray[np.integer]
Mask = NDArray[np.bool_]


def churn_outcomes(gap_ms: Ints, starts: Ints, time_ms: Ints, end_ms: int, days: float) -> tuple[Mask, Mask]:
    """Which users churned after which events: had no event for `days` days after the event.

    gap_ms, time_ms: (n,) gaps and times of the events in the order of `Sequences`. starts: (users + 1,) positions of
    the users. end_ms: the end of the log. Returns (n,) bool whether the outcome is known, and (n,) bool whether the
    user churned.

    The outcome is known only for events that are at least `days` older than the end of the log. Among later events,
    only the users who came back would be known, and churn would look rarer than it is.
    """
    horizon_ms = int(days * DAY_MS)
    following_ms = np.append(gap_ms[1:], 0).astype(np.int64)
    following_ms[starts[1:] - 1] = np.iinfo(np.int64).max  # nothing follows a user's last event
    return time_ms + horizon_ms <= end_ms, following_ms > horizon_ms


def churn_metrics(mixture: NDArray[np.floating], known: Mask, churned: Mask, days: float) -> dict[str, Any]:
    """AUC and Brier score of the risk of churn.

    mixture: (n, 3K) distributions of the time to the next event, from after each event. known, churned: (n,) from
    `churn_outcomes`. `constant_brier` is the score of a constant prediction of the churned share, which nobody knows
    beforehand. `reliability` holds groups of equal size by ascending risk: [{"risk", "churned", "n"}].
    """
    risk, churned = TimeMixture(mixture[known]).silence(days * DAY_MS / 1000), churned[known]
    rate = mean(churned)
    return {
        "auc": auc(risk, churned),
        "brier": mean((risk - churned) ** 2),
        "constant_brier": rate * (1 - rate),
        "mean_risk": mean(risk),
        "churned": rate,
        "n": len(risk),
        "reliability": [
            {"risk": mean(risk[group]), "churned": mean(churned[group]), "n": len(group)}
            for group in groups_by_probability(risk)
        ],
    }
