"""Metrics of the predicted time to the next event. This module is pure.

A prediction is a mixture distribution of `encoder.metrics.time_mixture`. The actual time is called the gap.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean, share
from encoder.metrics.time_mixture import OFFSET_S, TimeMixture

CENTRAL_SHARES = (0.5, 0.8, 0.9)  # probabilities of the central intervals whose coverage is reported

Ints = NDArray[np.integer]


class TimeScores(NamedTuple):
    """Scores of n gaps, (n,) float64 each.

    The scores are rounded as evaluation events carry the scores, so that offline and online sums are equal.
    """

    log_likelihood: NDArray[np.float64]  # log density of the gap, per second; 4 decimals
    quantile: NDArray[np.float64]  # probability of a gap up to the actual gap; 4 decimals
    expected_ms: NDArray[np.float64]  # median of the predicted distribution, whole milliseconds

    @classmethod
    def from_mixtures(cls, predicted: TimeMixture, gap_ms: Ints) -> "TimeScores":
        """predicted: n distributions from before the events of users with history. gap_ms: (n,) actual gaps."""
        gap_s = gap_ms / 1000
        return cls(
            predicted.log_density(gap_s).round(4),
            predicted.cumulative(gap_s).round(4),
            (predicted.median_s() * 1000).round(),
        )


def time_metrics(mixture: NDArray[np.floating], gap_ms: Ints, observed_ms: Ints) -> dict[str, Any]:
    """Metrics of n predicted times.

    mixture: (n, 3K) predicted distributions from before the events of users with history. gap_ms: (n,) actual gaps.
    observed_ms: (n,) time from the user's previous event to the end of the log.

    The point prediction is the median. `log_mse` and `log_mae` are errors of y = log(OFFSET_S + gap in seconds), in
    which a factor of two weighs the same for minutes and for days. `mae_s` is a mean in seconds, so the few longest
    gaps dominate that mean.

    `deciles` and `calibration_error` use the quantile P(gap), as the monitor does. A log only contains gaps that end
    before the log does. The figures in `watched` therefore use P(gap) / P(observed), which is uniform for a correct
    prediction no matter how short the log is. `coverage` is the share of gaps in each central interval.
    """
    predicted = TimeMixture(mixture)
    scores = TimeScores.from_mixtures(predicted, gap_ms)
    log_error = np.log(OFFSET_S + scores.expected_ms / 1000) - np.log(OFFSET_S + gap_ms / 1000)
    error_s = np.abs(scores.expected_ms - gap_ms) / 1000
    observable = np.maximum(predicted.cumulative(observed_ms / 1000), np.finfo(np.float64).tiny)
    quantile = np.minimum(predicted.cumulative(gap_ms / 1000) / observable, 1.0)
    return {
        "log_likelihood": mean(scores.log_likelihood),
        "log_mse": mean(log_error**2),
        "log_mae": mean(np.abs(log_error)),
        "mae_s": mean(error_s),
        "median_absolute_error_s": float(np.median(error_s)) if len(error_s) else float("nan"),
        **calibration(scores.quantile),
        "watched": {
            **calibration(quantile),
            "coverage": {f"{part:.0%}": mean(np.abs(quantile - 0.5) <= part / 2) for part in CENTRAL_SHARES},
        },
        "n": len(gap_ms),
    }


def calibration(quantile: NDArray[np.floating]) -> dict[str, Any]:
    """(n,) quantiles of the actual gaps -> the share of them in each tenth of 0 to 1, and the calibration error."""
    counts = deciles(quantile)
    return {
        "deciles": [share(count, len(quantile)) for count in counts.tolist()],
        "calibration_error": calibration_error(counts),
    }


def deciles(quantile: NDArray[np.floating]) -> NDArray[np.int64]:
    """(n,) quantiles -> (10,) number of quantiles in each tenth of 0 to 1."""
    return np.bincount(np.minimum(quantile * 10, 9).astype(np.int64), minlength=10)


def calibration_error(counts: Ints) -> float:
    """(10,) counts of `deciles` -> the least share of events that would have to move to make all counts equal.

    The result is between 0 and 0.9, or nan without events.
    """
    total = counts.sum()
    return float(np.abs(counts / total - 0.1).sum() / 2) if total else float("nan")


def calibration_errors_text(time: dict[str, Any]) -> str:
    """Both calibration errors of `time_metrics` as a text that says how the errors differ."""
    return (
        f"calibration error {time['watched']['calibration_error']:.3f} corrected for the log's end; raw, as the "
        f"monitor shows it, {time['calibration_error']:.3f}: times that the log's end cut off are missing there"
    )
