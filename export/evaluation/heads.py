"""What a bundle's heads say of scored events, by its own predict graph: next action, time to it, churn. Pure."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.averages import mean
from encoder.metrics.churn import CHURN_DAYS, DAY_MS, auc, churn_metrics, churn_outcomes
from encoder.metrics.next_action import action_metrics
from encoder.metrics.next_time import TimeScores, time_metrics
from encoder.metrics.time_mixture import TimeMixture
from export.evaluation.freshness import seen_before
from export.evaluation.scored_events import ScoredEvents

RECENT = 2  # horizons that the rule of churn looks back


class Foreseen(NamedTuple):
    """Outputs of the heads at m scored events."""

    action: NDArray[np.float32]  # (m, A + 1) probabilities of the action, from before each event
    before: NDArray[np.float32]  # (m, 3K) mixtures of `encoder.time_mixture` from before each event
    after: NDArray[np.float32]  # (m, 3K) from after each


def head_metrics(scored: ScoredEvents, foreseen: Foreseen, names: list[str]) -> dict[str, Any]:
    """Metrics of `encoder.head_metrics` over the scored events. names: the A known actions.

    {"action": {"all", "warm", "cold"} -> metrics, "time": metrics of users with history, "churn": {"1d", ...} ->
    metrics after every event whose outcome the log shows (horizons that it never shows are left out), and "count_auc":
    of the rule that the fewer events in the last RECENT horizons, the higher the risk; "log_days": how long a time was
    scored}
    """
    warm, action, age_ms = scored.steps > 0, _action(scored), scored.age_ms
    time_ms = scored.time_ms[scored.target]
    end_ms = int(time_ms.max())
    parts = {"all": np.ones(len(warm), bool), "warm": warm, "cold": ~warm}
    return {
        "action": {part: action_metrics(foreseen.action[of], action[of], names) for part, of in parts.items()},
        "time": time_metrics(foreseen.before[warm], age_ms[warm], (end_ms - time_ms + age_ms)[warm]),
        "churn": _churn(scored, foreseen, end_ms),
        "log_days": float(end_ms - time_ms.min()) / DAY_MS,
    }


class HeadScores(NamedTuple):
    """Of m scored events, to be averaged over slices."""

    is_action_right: NDArray[np.bool_]
    time_log_likelihood: NDArray[np.float64]  # not a number for a user's first event

    @classmethod
    def of(cls, scored: ScoredEvents, foreseen: Foreseen) -> "HeadScores":
        warm, right = scored.steps > 0, foreseen.action[:, 1:].argmax(axis=1) + 1 == _action(scored)
        log_likelihood = np.full(len(warm), np.nan)
        of_warm = TimeScores.from_mixtures(TimeMixture(foreseen.before[warm]), scored.age_ms[warm])
        log_likelihood[warm] = of_warm.log_likelihood
        return cls(right, log_likelihood)

    def means(self, mask: NDArray[np.bool_]) -> dict[str, float]:
        """{"action_accuracy", "time_log_likelihood"} over the events of the mask; not a number without any."""
        timed = mask & ~np.isnan(self.time_log_likelihood)
        return {
            "action_accuracy": mean(self.is_action_right[mask]),
            "time_log_likelihood": mean(self.time_log_likelihood[timed]),
        }


def _action(scored: ScoredEvents) -> NDArray[np.int64]:
    return scored.sequences.action[scored.target]


def _churn(scored: ScoredEvents, foreseen: Foreseen, end_ms: int) -> dict[str, Any]:
    of, found = scored.sequences, {}
    for days in CHURN_DAYS:
        known, churned = churn_outcomes(of.gap_ms, of.starts, scored.time_ms, end_ms, days)
        known, churned = known[scored.target], churned[scored.target]
        if known.any():
            count = recent_events(scored, RECENT * days * DAY_MS)[known]
            rule = {"count_auc": auc(-count.astype(np.float64), churned[known])}
            found[f"{days}d"] = churn_metrics(foreseen.after, known, churned, days) | rule
    return found


def recent_events(scored: ScoredEvents, within_ms: int) -> NDArray[np.int64]:
    """(m,) how many of the user's events, up to each scored one, are at most so much older than it."""
    older = seen_before(scored, within_ms + 1)
    return scored.steps + 1 - np.minimum(older, scored.steps + 1)
