"""Tallies of what the heads foresaw: the action and the time of the next event. Pure; windows add up."""

import math
from collections import defaultdict

import numpy as np

from encoder.metrics.heads import calibration_error, class_scores
from streams.contracts.evaluation_events import EvaluationEvent

# Errors of the time are counted in classes of 5 %, so their median is known to that.
_RATIO = math.log(1.05)
_PAIRS = 1_000  # kinds of (came, predicted) told apart; producers may send any action, and further ones count as one


class HeadTally:
    """Counts over the events of users with history; nothing where a bundle has no heads."""

    __slots__ = ("_actions", "_deciles", "_errors", "_log_likelihood", "_times")

    def __init__(self) -> None:
        self._actions: defaultdict[tuple[str, str], float] = defaultdict(float)  # (came, predicted)
        self._times = 0.0
        self._log_likelihood = 0.0
        self._deciles = [0.0] * 10
        self._errors: defaultdict[int, float] = defaultdict(float)  # class of |expected - came|

    def add(self, event: EvaluationEvent, weight: float = 1.0) -> None:
        """weight: how many events it stands for, as in `Tally.add`."""
        if event.predicted_action is not None:
            pair = event.action, event.predicted_action
            is_rare = len(self._actions) >= _PAIRS and pair not in self._actions and pair[0] != pair[1]
            self._actions[("", pair[1]) if is_rare else pair] += weight
        if event.time_log_likelihood is not None and event.time_quantile is not None:
            self._times += weight
            self._log_likelihood += weight * event.time_log_likelihood
            self._deciles[min(9, int(event.time_quantile * 10))] += weight
            error_ms = abs((event.expected_gap_ms or 0) - (event.state_age_ms or 0))
            self._errors[round(math.log1p(error_ms) / _RATIO)] += weight

    def merge(self, other: "HeadTally") -> None:
        for pair, count in other._actions.items():
            self._actions[pair] += count
        self._times += other._times
        self._log_likelihood += other._log_likelihood
        self._deciles = [mine + theirs for mine, theirs in zip(self._deciles, other._deciles, strict=True)]
        for error, count in other._errors.items():
            self._errors[error] += count

    def metrics(self) -> dict[str, float]:
        """Metric -> value, as `encoder.head_metrics` defines them; without those that nothing was counted for."""
        metrics = {}
        if self._actions:
            metrics = self._action_metrics()
        if self._times:
            metrics["time_log_likelihood"] = self._log_likelihood / self._times
            metrics["time_median_absolute_error_s"] = self._median_error_s()
            metrics["time_calibration_error"] = calibration_error(np.array(self._deciles))
        return metrics

    def _action_metrics(self) -> dict[str, float]:
        index = {name: i for i, name in enumerate(sorted({name for pair in self._actions for name in pair}))}
        confusion = np.zeros((len(index), len(index)))
        for (came, predicted), count in self._actions.items():
            confusion[index[came], index[predicted]] = count
        return {
            "action_accuracy": float(np.trace(confusion) / confusion.sum()),
            "action_macro_f1": float(np.mean([scores["f1"] for scores in class_scores(confusion) if scores])),
        }

    def _median_error_s(self) -> float:
        below = 0.0
        for place in sorted(self._errors):
            below += self._errors[place]
            if 2 * below >= self._times:
                break
        return math.expm1(place * _RATIO) / 1000
