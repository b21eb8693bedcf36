"""The windows over one bundle's events: the last events, the current interval of time, and all events so far.

Pure: the time is an argument.
"""

from collections import deque
from collections.abc import Iterable

from streams.monitor.scoring.parts import Parts
from streams.monitor.scoring.window_counts import WindowCounts, merged

HOUR_MS, STEP_MS = 3_600_000, 300_000
_ROLLING_BUCKETS = 20  # the rolling window drops a twentieth of its events at a time


class Windows:
    """A rolling window, a window of fixed intervals of time, the last hour, and a cumulative window.

    Events are counted in one open bucket. The bucket joins the three windows when the bucket is full or when its
    interval ends. The rolling window holds the last `rolling_events` events, exact to a twentieth. The hour slides by
    five minutes. The intervals and the hour also count the parts of their events.
    """

    def __init__(self, window_ms: int, rolling_events: int) -> None:
        self.window_ms = window_ms
        self.open_bucket = WindowCounts()
        self.interval_start_ms: int | None = None  # None before the first event
        self._bucket_events = max(1, rolling_events // _ROLLING_BUCKETS)
        self._rolling: deque[WindowCounts] = deque(maxlen=_ROLLING_BUCKETS)
        self._interval = WindowCounts()
        self._cumulative = WindowCounts()
        self.open_parts = Parts()
        self._interval_parts = Parts()
        self._hour = SlidingHour()

    def advance(self, time_ms: int) -> tuple[int, WindowCounts, Parts] | None:
        """Move the time forward to `time_ms`.

        Returns (start_ms, counts, parts) of the interval that ends by that, when the interval had events. Intervals
        begin at multiples of `window_ms`. Predictions that were not scored in an interval without events count in the
        next interval with events. A time before the current interval counts as the current interval.
        """
        start_ms = time_ms - time_ms % self.window_ms
        if self.interval_start_ms is None:
            self.interval_start_ms = start_ms
        if start_ms <= self.interval_start_ms:
            if self.open_bucket.events >= self._bucket_events:
                self._close_bucket()
            return None
        self._close_bucket()
        ended_start_ms, ended, parts = self.interval_start_ms, self._interval, self._interval_parts
        self.interval_start_ms, self._interval, self._interval_parts = start_ms, WindowCounts(), Parts()
        if ended.events or ended.without_history:
            return ended_start_ms, ended, parts
        self._interval_parts.unscored = parts.unscored
        return None

    def hour(self) -> tuple[WindowCounts, Parts]:
        """Counts over the last hour, without the open bucket."""
        return self._hour.counts()

    def rolling(self) -> WindowCounts:
        """Counts over the last events."""
        return merged([*self._rolling, self.open_bucket])

    def cumulative(self) -> WindowCounts:
        """Counts over all events so far."""
        return merged([self._cumulative, self.open_bucket])

    def _close_bucket(self) -> None:
        self._interval.merge(self.open_bucket)
        self._cumulative.merge(self.open_bucket)
        self._interval_parts.merge(self.open_parts)
        if self.interval_start_ms is not None:
            self._hour.add(self.interval_start_ms, self.open_bucket, self.open_parts)
        self.open_parts = Parts()
        if self.open_bucket.events:
            self._rolling.append(self.open_bucket)
        self.open_bucket = WindowCounts()


class SlidingHour:
    """The counts of the last hour, in steps of five minutes."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, WindowCounts, Parts]] = deque()  # start of the step in ms, its counts
        self._ended: tuple[WindowCounts, Parts] = (WindowCounts(), Parts())  # of all steps but the last one

    def add(self, time_ms: int, counts: WindowCounts, parts: Parts) -> None:
        """Add counts of the step that holds `time_ms`."""
        start_ms = time_ms - time_ms % STEP_MS
        if not self._steps or start_ms > self._steps[-1][0]:
            while self._steps and self._steps[0][0] <= start_ms - HOUR_MS:
                self._steps.popleft()
            self._ended = _sum(self._steps)
            self._steps.append((start_ms, WindowCounts(), Parts()))
        self._steps[-1][1].merge(counts)
        self._steps[-1][2].merge(parts)

    def counts(self) -> tuple[WindowCounts, Parts]:
        """Counts over the last hour."""
        last = list(self._steps)[-1:]
        return _sum([(0, *self._ended), *last])


def _sum(steps: Iterable[tuple[int, WindowCounts, Parts]]) -> tuple[WindowCounts, Parts]:
    total = WindowCounts(), Parts()
    for _, counts, parts in steps:
        total[0].merge(counts)
        total[1].merge(parts)
    return total
