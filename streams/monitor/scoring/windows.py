"""The windows over one bundle's events: the last events, the current interval of time, and all events so far.

Pure: the time is an argument.
"""

from collections import deque

from streams.monitor.scoring.window_counts import WindowCounts, merged

_ROLLING_BUCKETS = 20  # the rolling window drops a twentieth of its events at a time


class Windows:
    """A rolling window, a window of fixed intervals of time, and a cumulative window.

    Events are counted in one open bucket. The bucket joins the three windows when the bucket is full or when its
    interval ends. The rolling window holds the last `rolling_events` events, exact to a twentieth.
    """

    def __init__(self, window_ms: int, rolling_events: int) -> None:
        self.window_ms = window_ms
        self.open_bucket = WindowCounts()
        self.interval_start_ms: int | None = None  # None before the first event
        self._bucket_events = max(1, rolling_events // _ROLLING_BUCKETS)
        self._rolling: deque[WindowCounts] = deque(maxlen=_ROLLING_BUCKETS)
        self._interval = WindowCounts()
        self._cumulative = WindowCounts()

    def advance(self, time_ms: int) -> tuple[int, WindowCounts] | None:
        """Move the time forward to `time_ms`.

        Returns (start_ms, counts) of the interval that ends by that, when the interval had events. Intervals begin at
        multiples of `window_ms`. A time before the current interval counts as the current interval.
        """
        start_ms = time_ms - time_ms % self.window_ms
        if self.interval_start_ms is None:
            self.interval_start_ms = start_ms
        if start_ms <= self.interval_start_ms:
            if self.open_bucket.events >= self._bucket_events:
                self._close_bucket()
            return None
        self._close_bucket()
        ended_start_ms, ended = self.interval_start_ms, self._interval
        self.interval_start_ms, self._interval = start_ms, WindowCounts()
        return (ended_start_ms, ended) if ended.events or ended.without_history else None

    def rolling(self) -> WindowCounts:
        """Counts over the last events."""
        return merged([*self._rolling, self.open_bucket])

    def cumulative(self) -> WindowCounts:
        """Counts over all events so far."""
        return merged([self._cumulative, self.open_bucket])

    def _close_bucket(self) -> None:
        self._interval.merge(self.open_bucket)
        self._cumulative.merge(self.open_bucket)
        if self.open_bucket.events:
            self._rolling.append(self.open_bucket)
        self.open_bucket = WindowCounts()
