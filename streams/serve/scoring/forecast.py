"""What the heads of a bundle say of a user's next event, from a moment after the user's last event. Pure.

The heads predict from the representation after the last event, as `thalweg evaluate` and the worker let them. The time
since the last event is known besides, and an event did not come in that time. With S for the survival function of the
predicted gap and w for the time since the last event, the probability of no event within the next d is
S(w + d) / S(w).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.time_mixture import TimeMixture

DAY_S = 86_400.0
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the quantiles of the time to the next event
MOST_MS = 100 * 365 * 86_400_000  # a longer time is not shown, because no log has such gaps


class Quantile(NamedTuple):
    """The time from the moment of the question within which the next event comes with probability `share`."""

    share: float
    within_ms: int | None  # None for more than MOST_MS


def churn_probability(mixture: NDArray[np.float32], waited_ms: int, days: float) -> float:
    """The probability of no event within the next `days`, after `waited_ms` without an event.

    mixture: (3K,) of `encoder.metrics.time_mixture`, from the representation after the last event.
    """
    return float(TimeMixture(mixture[None]).silence(days * DAY_S, waited_ms / 1000)[0])


def time_quantiles(mixture: NDArray[np.float32], waited_ms: int) -> list[Quantile]:
    """The quantiles of the time to the next event, after `waited_ms` without an event. mixture: (3K,)."""
    same = TimeMixture(np.tile(mixture, (len(SHARES), 1)))
    within_ms = same.quantile_s(np.array(SHARES), waited_ms / 1000) * 1000
    return [
        Quantile(share, round(found) if found <= MOST_MS else None)
        for share, found in zip(SHARES, within_ms.tolist(), strict=True)
    ]


def action_probabilities(probability: NDArray[np.float32], names: Sequence[str]) -> list[tuple[str, float]]:
    """The known actions with the probability of each to be the next action, the most probable first.

    probability: (A + 1,), where entry 0 is the probability of any other action. names: the A known actions.
    """
    pairs = zip(names, probability[1:].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def named_action(probability: NDArray[np.float32], names: Sequence[str], offsets: Mapping[str, float]) -> str:
    """The one action to name where a reader wants one.

    offsets: `Manifest.action_offsets`, which name rare actions more often than the largest probability does; empty for
    the most probable action.
    """
    logs = np.log(np.maximum(probability[1:].astype(np.float64), np.finfo(np.float32).tiny))
    return names[int((logs + [offsets.get(name, 0.0) for name in names]).argmax())]
