"""What the heads predicted of each event besides the item: the action and the time. Pure.

The predictions come from the representation before the event, as the rank does.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.metrics.next_time import TimeScores
from encoder.metrics.time_mixture import TimeMixture

SCORES = 5  # fields of an evaluation event


class Foresight(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of n events, (n,) each. The scores of the time are NaN for users' first events and for NaN predictions."""

    action_probability: NDArray[np.floating]  # of the actual action
    predicted_action: list[str]  # the most probable known action
    time_log_likelihood: NDArray[np.float64]  # log density of the actual gap, per second
    time_quantile: NDArray[np.float64]  # probability of a gap up to the actual gap
    expected_gap_ms: NDArray[np.float64]  # median of the gap's distribution, in whole milliseconds

    @classmethod
    def score(
        cls,
        action_probability: NDArray[np.float32],
        time_mixture: NDArray[np.float32],
        action: NDArray[np.int64],
        gap_ms: NDArray[np.int64],
        names: Sequence[str],
    ) -> "Foresight":
        """Score the predictions of the heads, (n, A + 1) and (n, 3K), against the actual actions and gaps, (n,).

        gap_ms: -1 for a user's first event. names: the A known actions.
        """
        timed = (gap_ms >= 0) & np.isfinite(time_mixture).all(axis=1)
        scores = TimeScores.from_mixtures(TimeMixture(time_mixture[timed]), gap_ms[timed])

        def where_timed(values: NDArray[np.float64]) -> NDArray[np.float64]:
            column = np.full(len(timed), np.nan)
            column[timed] = values
            return column

        return cls(
            action_probability=action_probability[np.arange(len(action)), action].astype(np.float64).round(6),
            predicted_action=[names[index] for index in action_probability[:, 1:].argmax(axis=1).tolist()],
            time_log_likelihood=where_timed(scores.log_likelihood),
            time_quantile=where_timed(scores.quantile),
            expected_gap_ms=where_timed(scores.expected_ms),
        )

    def columns(self) -> tuple[list[Any], ...]:
        """The SCORES as lists, in the order of the fields. None stands where an event has no score of the time."""
        is_timed = (self.time_quantile == self.time_quantile).tolist()
        log_likelihood, quantile, expected_ms = (
            [value if timed else None for value, timed in zip(column.tolist(), is_timed, strict=True)]
            for column in (self.time_log_likelihood, self.time_quantile, self.expected_gap_ms)
        )
        gaps = [None if gap is None else int(gap) for gap in expected_ms]
        return self.action_probability.tolist(), self.predicted_action, log_likelihood, quantile, gaps
