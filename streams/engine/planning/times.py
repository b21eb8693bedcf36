"""The time between a user's events, by columns. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.engine.planning.waves import Groups

Integers = NDArray[np.int64]


def times(time_ms: Integers, groups: Groups, last_time_ms: Integers, steps: Integers) -> tuple[Integers, Integers]:
    """The latest event time of each user so far, (n,) int64 in grouped order, and each event's gap, (n,) int64.

    An event that is older than the user's latest event has a gap of 0. A user's first event has a gap of -1.

    time_ms: (n,) int64 by position. last_time_ms, steps: (g,) int64, the latest event time and the number of events of
    each group before these events.
    """
    order, starts = groups.order, groups.starts
    time_ms = time_ms[order]
    first = steps == 0
    before = np.where(first, time_ms[starts], last_time_ms)
    latest = time_ms.copy()
    latest[starts] = np.maximum(latest[starts], before)
    latest = groups.running_max(latest)
    gap = np.maximum(0, time_ms - shifted(latest, starts, before))
    gap[starts[first]] = -1
    gap_ms = np.empty_like(time_ms)
    gap_ms[order] = gap
    return latest, gap_ms


def shifted(grouped: NDArray[Any], starts: Integers, before: NDArray[Any]) -> NDArray[Any]:
    """(n,) grouped values, each moved on by one place. The first place of a group takes the value of `before`, (g,)."""
    moved = np.empty_like(grouped)
    moved[1:] = grouped[:-1]
    moved[starts] = before
    return moved
