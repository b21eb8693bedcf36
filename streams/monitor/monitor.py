"""The monitor: reads the evaluation topic and gives scores as snapshots and as MetricsEvents.

The monitor keeps no state between runs. A restarted monitor reads the topic again from the beginning, as far back as
the topic's retention goes, in the order of the records' timestamps. The restarted monitor therefore arrives at
the same counts, and publishes no interval a second time.
"""

import asyncio
import threading
import time

from streams.config.settings import Settings
from streams.monitor.metrics_publisher import MetricsPublisher
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from streams.monitor.scoring.scores import Snapshot
from streams.monitor.topic_follower import TopicFollower

POLL_TIMEOUT_S = 0.2
SNAPSHOT_EVERY_S = 0.2
GRACE_MS = 1_000  # an interval of an idle topic stays open this long, because records may still be on their way


class Monitor:
    """Follows one evaluation topic. Use `await run(stop)` on an event loop, or `start()` and `stop()` for a thread.

    `snapshot()` may be called from any thread. Metrics are published when a metrics topic is given.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        metrics_topic: str | None = None,
        window_s: float = 10.0,
        rolling_events: int = 5_000,
    ) -> None:
        self._follower = TopicFollower(settings, topic)
        self._publisher = None if metrics_topic is None else MetricsPublisher(settings, metrics_topic)
        self._scoreboards = BundleScoreboards(int(window_s * 1000), rolling_events)
        self._last_record_s = time.monotonic()
        self._snapshot = Snapshot()
        self._thread: threading.Thread | None = None
        self._stop_thread = threading.Event()
        self._failure: Exception | None = None

    def snapshot(self) -> Snapshot:
        """The latest counts, at most a fraction of a second old. Raises the error that ended the monitor's thread."""
        if self._failure is not None:
            raise self._failure
        return self._snapshot

    async def run(self, stop: threading.Event) -> None:
        """Follow the topic until `stop` is set. Raises BrokerError, SettingsError."""
        try:
            await self._follower.start()
            if self._publisher is not None:
                await self._publisher.start()
            self._last_record_s = time.monotonic()
            snapshot_s = 0.0
            while not stop.is_set():
                has_records = await self._score_next_records()
                if not has_records or time.monotonic() - snapshot_s > SNAPSHOT_EVERY_S:
                    self._update_snapshot()
                    snapshot_s = time.monotonic()
        finally:
            self._update_snapshot()
            await self._follower.stop()
            if self._publisher is not None:
                await self._publisher.stop()

    def start(self) -> None:
        """Run in a thread until `stop()`."""
        self._thread = threading.Thread(target=self._run_in_thread, name="monitor", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> Snapshot:
        """End the thread and return the last snapshot. Raises the error that ended the thread early."""
        self._stop_thread.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self.snapshot()

    def _run_in_thread(self) -> None:
        try:
            asyncio.run(self.run(self._stop_thread))
        except Exception as error:  # an error of any kind is raised again by snapshot() and stop()
            self._failure = error

    async def _score_next_records(self) -> bool:
        """Poll once, score the records and publish the intervals that ended. Returns False when no record came."""
        records = await self._follower.poll(POLL_TIMEOUT_S)
        ended = self._scoreboards.observe(records)
        if records:
            self._last_record_s = time.monotonic()
        elif not self._follower.lag:
            ended = self._scoreboards.advance(int(time.time() * 1000) - GRACE_MS)
        if self._publisher is not None:
            await self._publisher.publish(ended)
        return bool(records)

    def _update_snapshot(self) -> None:
        lag = self._follower.lag
        idle_s = 0.0 if lag else time.monotonic() - self._last_record_s
        self._snapshot = self._scoreboards.snapshot(lag, idle_s)
