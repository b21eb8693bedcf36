"""The monitor: reads the evaluation topic and gives scores as snapshots, as MetricsEvents and as AlarmEvents.

A monitor with a state goes on where the last monitor stopped. A monitor without a state reads the topic again from the
beginning, as far back as the topic's retention goes, in the order of the records' timestamps. Either way, no interval
and no change of an alarm is published twice.
"""

import asyncio
import threading
import time

from streams.config.settings import Settings
from streams.monitor.inputs import Extras, Inputs
from streams.monitor.outputs.all_outputs import Outputs
from streams.monitor.scoring.bundle_scoreboards import GRACE_MS, BundleScoreboards
from streams.monitor.scoring.scores import Snapshot

SNAPSHOT_EVERY_S = 0.2
SCORES_ALONE = Extras()


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
        extras: Extras = SCORES_ALONE,
    ) -> None:
        self._inputs = Inputs(settings, topic, extras)
        self._outputs = Outputs(settings, metrics_topic, extras.alarms, extras.comparisons)
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
        """Follow the topic until `stop` is set. Raises BrokerError, SettingsError, OSError."""
        try:
            self._scoreboards = await self._inputs.start(self._scoreboards)
            await self._outputs.start()
            self._last_record_s = time.monotonic()
            snapshot_s = 0.0
            while not stop.is_set():
                has_records = await self._score_next_records()
                if not has_records or time.monotonic() - snapshot_s > SNAPSHOT_EVERY_S:
                    self._update_snapshot()
                    snapshot_s = time.monotonic()
            if self._inputs.is_past_start:
                await self._outputs.publish_last(self._scoreboards, int(time.time() * 1000))
            self._inputs.save(self._scoreboards, now=True)
        finally:
            self._update_snapshot()
            try:
                await self._outputs.stop()  # posts for the last time, while no other monitor can hold the state
            finally:
                await self._inputs.stop()

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
        """Poll once, score the records and publish what follows. Returns False when no record came.

        The state is saved after the outputs of its events are confirmed. A killed monitor repeats events, and the
        publishers leave out what is published already.
        """
        records = await self._inputs.poll()
        ended = self._inputs.score(records, self._scoreboards)
        now_ms = int(time.time() * 1000)
        if records:
            self._last_record_s = time.monotonic()
        elif self._inputs.is_caught_up:
            ended = self._scoreboards.advance(now_ms - GRACE_MS)
        await self._outputs.publish(ended, self._scoreboards, now_ms if self._inputs.is_past_start else None)
        self._inputs.save(self._scoreboards)
        return bool(records)

    def _update_snapshot(self) -> None:
        idle_s = time.monotonic() - self._last_record_s if self._inputs.is_caught_up else 0.0
        now_ms = int(time.time() * 1000)
        self._snapshot = self._scoreboards.snapshot(self._inputs.lag, idle_s, self._inputs.expired, now_ms)
