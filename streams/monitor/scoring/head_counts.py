"""Counts behind the scores of the model's heads: the action and the time of the next event. Pure: no I/O, no clock."""

import math
from collections import defaultdict

import numpy as np

from encoder.metrics.next_action import class_scores
from encoder.metrics.next_time import calibration_error
from streams.contracts.evaluation_events import EvaluationEvent

# Errors of the time are counted in classes that are 5 % wide, so their median is exact to 5 %.
_LOG_CLASS_WIDTH = math.log(1.05)
# Producers may send any action. When there are this many different (actual, predicted) pairs, the actual action of a
# further wrong pair is counted as "".
_MAX_ACTION_PAIRS = 1_000


class HeadCounts:
    """Counts over the events of users with history. The counts stay empty for a bundle without heads."""

    __slots__ = ("_actions", "_deciles", "_error_classes", "_log_likelihood", "_times")

    def __init__(self) -> None:
        self._actions: defaultdict[tuple[str, str], float] = defaultdict(float)  # (actual, predicted) -> weight
        self._times = 0.0  # weight of the events with a predicted time
        self._log_likelihood = 0.0
        self._deciles = [0.0] * 10
        self._error_classes: defaultdict[int, float] = defaultdict(float)  # class of |expected - actual| -> weight

    def add(self, event: EvaluationEvent, weight: float = 1.0) -> None:
        """Count one event. `weight` is the number of events that the event stands for."""
        if event.predicted_action is not None:
            pair = event.action, event.predicted_action
            is_surplus = len(self._actions) >= _MAX_ACTION_PAIRS and pair not in self._actions and pair[0] != pair[1]
            self._actions[("", pair[1]) if is_surplus else pair] += weight
        if event.time_log_likelihood is not None and event.time_quantile is not None:
            self._times += weight
            self._log_likelihood += weight * event.time_log_likelihood
            self._deciles[min(9, int(event.time_quantile * 10))] += weight
            error_ms = abs((event.expected_gap_ms or 0) - (event.state_age_ms or 0))
            self._error_classes[round(math.log1p(error_ms) / _LOG_CLASS_WIDTH)] += weight

    def merge(self, other: "HeadCounts") -> None:
        """Add the counts of `other` to these counts."""
        for pair, weight in other._actions.items():
            self._actions[pair] += weight
        self._times += other._times
        self._log_likelihood += other._log_likelihood
        self._deciles = [mine + theirs for mine, theirs in zip(self._deciles, other._deciles, strict=True)]
        for error_class, weight in other._error_classes.items():
            self._error_classes[error_class] += weight

    def metrics(self) -> dict[str, float]:
        """Metric -> value, as `encoder.metrics` defines them; a metric without counted events is left out."""
        metrics = {}
        if self._actions:
            metrics = self._action_metrics()
        if self._times:
            metrics["time_log_likelihood"] = self._log_likelihood / self._times
            metrics["time_median_absolute_error_s"] = self._median_error_s()
            metrics["time_calibration_error"] = calibration_error(np.array(self._deciles))
        return metrics

    def _action_metrics(self) -> dict[str, float]:
        index = {action: i for i, action in enumerate(sorted({action for pair in self._actions for action in pair}))}
        confusion = np.zeros((len(index), len(index)))
        for (actual, predicted), weight in self._actions.items():
            confusion[index[actual], index[predicted]] = weight
        return {
            "action_accuracy": float(np.trace(confusion) / confusion.sum()),
            "action_macro_f1": float(np.mean([scores["f1"] for scores in class_scores(confusion) if scores])),
        }

    def _median_error_s(self) -> float:
        cumulative = 0.0
        for error_class in sorted(self._error_classes):
            cumulative += self._error_classes[error_class]
            if 2 * cumulative >= self._times:
                break
        return math.expm1(error_class * _LOG_CLASS_WIDTH) / 1000
