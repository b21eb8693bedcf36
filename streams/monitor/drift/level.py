"""Whether a figure has left its reference level: a two-sided CUSUM with a learned reference. Pure: no I/O, no clock.

docs/decisions.md#detectors-of-the-monitor compares this detector with those of a library.
"""

import math
from typing import Literal, NamedTuple

LEARN_BLOCKS = 60  # blocks from which the first reference is learned
MEMORY_BLOCKS = 400  # the reference is a mean over the blocks without an alarm, of which the last so many weigh most
# Thresholds in standard deviations of a block, chosen on seeds 101 to 105: docs/decisions.md#thresholds-of-the-alarms
FIRE_AT = 8.0
LARGEST_STEP = FIRE_AT / 3  # of one block, so that three blocks at least must differ
CAP = 1.25 * FIRE_AT  # an alarm that has fired for a long time must still be able to end
END_AT = FIRE_AT / 4
LEAST_SLACK = 0.5
LEAST_DEVIATION = 0.001  # of the reference, for a figure that was the same in every block
TINY = 1e-9
ACCEPT_MS = 7 * 86_400_000  # a level that has lasted so long is the new reference


class Figure(NamedTuple):
    """The value of a figure in one block.

    floor: the least standard deviation that a block of this size has. slack: the change that does not count.
    """

    value: float
    floor: float
    slack: float


class Change(NamedTuple):
    """An alarm that began or ended."""

    state: Literal["firing", "resolved"]
    starts_at_ms: int
    ends_at_ms: int | None
    value: float  # mean since the figure left its reference
    expected: float
    accepted: bool = False  # resolved because the level has lasted so long that it is the new reference


class Level:
    """Follows one figure, block after block.

    `rises` and `falls` say which changes count. Two sums grow with the part of a block's deviation that exceeds the
    slack, and shrink while the figure is near its reference. An alarm fires when a sum reaches FIRE_AT, and ends when
    both sums are at most END_AT. In between, the alarm stays as it is. While it fires, the reference does not move.
    """

    __slots__ = (
        "_blocks",
        "_falls",
        "_high",
        "_low",
        "_mean",
        "_rises",
        "_since",
        "_starts_at_ms",
        "_total",
        "_variance",
    )

    def __init__(self, rises: bool, falls: bool) -> None:
        self._rises, self._falls = rises, falls
        self._blocks = 0  # from which the reference was learned
        self._mean = self._variance = 0.0
        self._high = self._low = 0.0  # the two sums, in standard deviations
        self._since, self._total = 0, 0.0  # blocks since the figure left its reference, and the sum of their values
        self._starts_at_ms: int | None = None  # of the alarm that fires

    @property
    def is_firing(self) -> bool:
        return self._starts_at_ms is not None

    @property
    def reference(self) -> float | None:
        """The reference level; None while it is learned."""
        return self._mean if self._blocks >= LEARN_BLOCKS else None

    def observe(self, figure: Figure, time_ms: int) -> Change | None:
        """Take the figure of the block that ended at `time_ms`. Returns the alarm that this begins or ends."""
        if self._blocks < LEARN_BLOCKS:
            self._follow(figure.value)
            return None
        expected = self._mean
        reached = self._accumulate(figure)
        if reached > 0:
            self._since += 1
            self._total += figure.value
        value = self._total / self._since if self._since else figure.value
        if self._starts_at_ms is None:
            if reached >= FIRE_AT:
                self._starts_at_ms = time_ms
                return Change("firing", time_ms, None, value, expected)
            if reached <= 0:
                self._since, self._total = 0, 0.0
            self._follow(figure.value)
            return None
        is_accepted = time_ms - self._starts_at_ms >= ACCEPT_MS
        if reached > END_AT and not is_accepted:
            return None
        change = Change("resolved", self._starts_at_ms, time_ms, value, expected, is_accepted)
        self._since, self._total, self._starts_at_ms = 0, 0.0, None
        if is_accepted:  # learn the new level
            self._blocks, self._mean, self._variance, self._high, self._low = 0, 0.0, 0.0, 0.0, 0.0
        return change

    def _accumulate(self, figure: Figure) -> float:
        """Add the block to the two sums. Returns the larger one."""
        deviation = max(math.sqrt(self._variance), figure.floor, abs(self._mean) * LEAST_DEVIATION, TINY)
        distance = (figure.value - self._mean) / deviation
        slack = max(LEAST_SLACK, figure.slack / deviation)
        self._high = _sum(self._high, distance - slack) if self._rises else 0.0
        self._low = _sum(self._low, -distance - slack) if self._falls else 0.0
        return max(self._high, self._low)

    def _follow(self, value: float) -> None:
        """Move the reference and the deviation towards the value."""
        self._blocks += 1
        weight = 1 / min(self._blocks, MEMORY_BLOCKS)
        difference = value - self._mean
        self._mean += weight * difference
        self._variance = (1 - weight) * (self._variance + weight * difference * difference)


def _sum(before: float, step: float) -> float:
    return min(CAP, max(0.0, before + min(step, LARGEST_STEP)))
