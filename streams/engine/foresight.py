"""What the heads foresaw of each event beside its item: its action and its time. Pure.

Scored from the representation before the event, as the rank is.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.metrics.heads import TimeScores
from encoder.metrics.time_mixture import TimeMixture

SCORES = 5  # of an event


class Foresight(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of n events, each an array of (n,); those of the time are not a number for users' first events
    and where a representation is none."""

    action_probability: NDArray[np.floating]  # of the action that came
    predicted_action: list[str]  # the most probable one of the known actions
    time_log_likelihood: NDArray[np.float64]  # log density of the gap that came, per second
    time_quantile: NDArray[np.float64]  # share of the gap's distribution that lies up to the gap that came
    expected_gap_ms: NDArray[np.float64]  # median of the gap's distribution, in whole milliseconds

    @classmethod
    def of(
        cls,
        action_probability: NDArray[np.float32],
        time_mixture: NDArray[np.float32],
        action: NDArray[np.int64],
        gap_ms: NDArray[np.int64],
        names: Sequence[str],
    ) -> "Foresight":
        """(n, A + 1) and (n, 3K) of the heads, (n,) action that came and gap, -1 for a first event; the A names."""
        timed = (gap_ms >= 0) & np.isfinite(time_mixture).all(axis=1)
        scores = TimeScores.of(TimeMixture(time_mixture[timed]), gap_ms[timed])

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
        """Each of the SCORES as a list, in the order of the fields, with None where a time has none."""
        is_timed = (self.time_quantile == self.time_quantile).tolist()
        log_likelihood, quantile, expected_ms = (
            [value if timed else None for value, timed in zip(column.tolist(), is_timed, strict=True)]
            for column in (self.time_log_likelihood, self.time_quantile, self.expected_gap_ms)
        )
        gaps = [None if gap is None else int(gap) for gap in expected_ms]
        return self.action_probability.tolist(), self.predicted_action, log_likelihood, quantile, gaps
