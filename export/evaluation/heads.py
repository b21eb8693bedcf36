"""Metrics of a bundle's heads over scored events: next action, time to it, churn. This module is pure."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean
from encoder.metrics.binary import auc
from encoder.metrics.churn import CHURN_DAYS, DAY_MS, churn_metrics, churn_outcomes
from encoder.metrics.next_action import action_metrics
from encoder.metrics.next_time import TimeScores, time_metrics
from encoder.metrics.time_mixture import TimeMixture
from export.evaluation.freshness import seen_before
from export.evaluation.scored_events import ScoredEvents

COUNTED_HORIZONS = 2  # the counting baseline of churn counts the events of so many last horizons


class HeadOutputs(NamedTuple):
    """The outputs of the heads at m scored events."""

    action: NDArray[np.float32]  # (m, A + 1) probabilities of the action, before each event
    time_before: NDArray[np.float32]  # (m, 3K) `encoder.metrics.time_mixture`, before each event
    time_after: NDArray[np.float32]  # (m, 3K) the same after each event


def head_metrics(
    scored: ScoredEvents, outputs: HeadOutputs, actions: list[str], offsets: list[float] | None = None
) -> dict[str, Any]:
    """Metrics of `encoder.metrics` over the scored events.

    actions: the names of the A known actions. offsets: as of `next_action.action_metrics`.

    action     {"all", "warm": of users with history, "cold"} -> `next_action.action_metrics`
    time       `next_time.time_metrics` of users with history
    churn      {"1d", ...} -> `churn.churn_metrics` after every event whose outcome the log shows, and "count_auc",
               the AUC of a baseline for which few events in the last horizons mean a high risk; without horizons
               that the log never shows
    log_days   the time from the first to the last scored event
    """
    warm, action, age_ms, time_ms = scored.steps > 0, scored.action, scored.age_ms, scored.time_ms
    end_ms = int(time_ms.max())
    parts = {"all": np.ones(len(warm), bool), "warm": warm, "cold": ~warm}
    return {
        "action": {
            name: action_metrics(outputs.action[part], action[part], actions, offsets) for name, part in parts.items()
        },
        "time": time_metrics(outputs.time_before[warm], age_ms[warm], (end_ms - time_ms + age_ms)[warm]),
        "churn": _churn(scored, outputs, end_ms),
        "log_days": float(end_ms - time_ms.min()) / DAY_MS,
    }


class HeadScores(NamedTuple):
    """The scores of each of m events, whose means go into slices."""

    is_action_right: NDArray[np.bool_]  # (m,)
    time_log_likelihood: NDArray[np.float64]  # (m,) not a number for a user's first event

    @classmethod
    def from_outputs(cls, scored: ScoredEvents, outputs: HeadOutputs) -> "HeadScores":
        """Score the outputs of the heads."""
        warm, predicted = scored.steps > 0, outputs.action[:, 1:].argmax(axis=1) + 1
        log_likelihood = np.full(len(warm), np.nan)
        scores = TimeScores.from_mixtures(TimeMixture(outputs.time_before[warm]), scored.age_ms[warm])
        log_likelihood[warm] = scores.log_likelihood
        return cls(predicted == scored.action, log_likelihood)

    def means(self, mask: NDArray[np.bool_]) -> dict[str, float]:
        """{"action_accuracy", "time_log_likelihood"} of the events in the mask; not a number without events."""
        timed = mask & ~np.isnan(self.time_log_likelihood)
        return {
            "action_accuracy": mean(self.is_action_right[mask]),
            "time_log_likelihood": mean(self.time_log_likelihood[timed]),
        }


def _churn(scored: ScoredEvents, outputs: HeadOutputs, end_ms: int) -> dict[str, Any]:
    sequences = scored.sequences
    metrics: dict[str, Any] = {}
    for days in CHURN_DAYS:
        known, churned = churn_outcomes(sequences.gap_ms, sequences.starts, scored.event_time_ms, end_ms, days)
        known, churned = known[scored.target], churned[scored.target]
        if known.any():
            count = recent_events(scored, COUNTED_HORIZONS * days * DAY_MS)[known]
            baseline = {"count_auc": auc(-count.astype(np.float64), churned[known])}
            metrics[f"{days}d"] = churn_metrics(outputs.time_after, known, churned, days) | baseline
    return metrics


def recent_events(scored: ScoredEvents, within_ms: int) -> NDArray[np.int64]:
    """(m,) how many of the user's events, up to each scored event, are at most `within_ms` older than it."""
    older = seen_before(scored, within_ms + 1)
    return scored.steps + 1 - np.minimum(older, scored.steps + 1)
