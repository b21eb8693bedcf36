"""The monitor: the evaluation topic in, scores out: as snapshots, as MetricsEvents, and for Prometheus.

Restart: it keeps nothing. It reads the topic again from the beginning, as far back as the topic's retention goes, in
the order of the records' timestamps, and arrives at the same counts. Windows that were published are not published
again.
"""

import asyncio
import threading
import time
from typing import Any

import msgspec

from streams.config.settings import Settings
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.follower import Follower
from streams.monitor.outlet import MetricsOutlet
from streams.monitor.scoreboard import Scoreboard, Scores

POLL_TIMEOUT_S = 0.2
SNAPSHOT_EVERY_S = 0.2
GRACE_MS = 1_000  # a window of a silent topic stays open this long for records on their way


class BundleScores(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one bundle: over the last events, and over everything so far."""

    duplicates: int  # evaluation events whose id had been counted
    rolling: Scores
    cumulative: Scores


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The monitor at one moment. `msgspec.to_builtins` makes plain dictionaries of it."""

    records: int = 0  # read from the evaluation topic
    undecodable: int = 0  # of these, not evaluation events; the first one's reason is in `problem`
    problem: str | None = None
    lag: int = 0  # records in the topic that are not counted yet
    idle_s: float = 0.0  # since the last record, with nothing left to read
    bundles: dict[str, BundleScores] = {}  # by bundle id, the one seen last at the end

    @property
    def latest(self) -> BundleScores | None:
        """Scores of the bundle whose event was seen last."""
        return next(reversed(self.bundles.values()), None)


class Monitor:
    """Follows one evaluation topic. Use `await run(stop)` on an event loop, or `start()` and `stop()` for a thread.

    `snapshot()` may be called from any thread. Metrics are published where a metrics topic is named.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        metrics_topic: str | None = None,
        window_s: float = 10.0,
        rolling_events: int = 5_000,
    ) -> None:
        self._follower = Follower(settings, topic)
        self._outlet = None if metrics_topic is None else MetricsOutlet(settings, metrics_topic)
        self._window_ms = int(window_s * 1000)
        self._rolling_events = rolling_events
        self._decode = msgspec.json.Decoder(EvaluationEvent).decode
        self._boards: dict[str, Scoreboard] = {}
        self._records = 0
        self._undecodable = 0
        self._problem: str | None = None
        self._last_record = time.monotonic()
        self._snapshot = Snapshot()
        self._thread: threading.Thread | None = None
        self._stop_thread = threading.Event()
        self._failure: Exception | None = None

    def snapshot(self) -> Snapshot:
        """The latest counts, at most a fraction of a second old. Raises what ended the monitor's thread early."""
        if self._failure is not None:
            raise self._failure
        return self._snapshot

    async def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set. Raises BrokerError where the broker does not answer."""
        try:
            await self._follower.start()
            if self._outlet is not None:
                await self._outlet.start()
            self._last_record = time.monotonic()
            taken = 0.0
            while not stop.is_set():
                records = await self._follower.poll(POLL_TIMEOUT_S)
                over = self.observe(records)
                if not records and not self._follower.lag:
                    over = self.close_windows(int(time.time() * 1000) - GRACE_MS)
                if self._outlet is not None:
                    await self._outlet.publish(over)
                if not records or time.monotonic() - taken > SNAPSHOT_EVERY_S:
                    self._snapshot = self._take_snapshot()
                    taken = time.monotonic()
        finally:
            self._snapshot = self._take_snapshot()
            await self._follower.stop()
            if self._outlet is not None:
                await self._outlet.stop()

    def observe(self, records: Any) -> list[MetricsEvent]:
        """Score records with a `value` and a `timestamp` in ms. Returns the metrics of windows that are over."""
        over = []
        decode, boards = self._decode, self._boards
        board = None
        for record in records:
            try:
                event = decode(record.value)
                board = boards.get(event.bundle_id)
                if board is None:
                    board = Scoreboard(event.bundle_id, self._window_ms, self._rolling_events)
                    boards[event.bundle_id] = board
                metrics = board.observe(event, record.timestamp)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                self._undecodable += 1
                where = f"{record.topic}-{record.partition}-{record.offset}"
                self._problem = self._problem or f"{where} is not an evaluation event: {error}"
                continue
            if metrics is not None:
                over.append(metrics)
        if records:
            self._records += len(records)
            self._last_record = time.monotonic()
        if board is not None:
            boards[board.bundle_id] = boards.pop(board.bundle_id)
        return over

    def close_windows(self, time_ms: int) -> list[MetricsEvent]:
        """Metrics of the windows that are over at `time_ms` without another event."""
        return [metrics for board in self._boards.values() if (metrics := board.at(time_ms)) is not None]

    def start(self) -> None:
        """Run in a thread of its own, until `stop()`."""

        def work() -> None:
            try:
                asyncio.run(self.run(self._stop_thread))
            except Exception as error:  # whatever it is: it is raised where the thread's owner looks
                self._failure = error

        self._thread = threading.Thread(target=work, name="monitor", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> Snapshot:
        """End the thread and return the last snapshot. Raises what ended it early."""
        self._stop_thread.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self.snapshot()

    def _take_snapshot(self) -> Snapshot:
        lag = self._follower.lag
        return Snapshot(
            records=self._records,
            undecodable=self._undecodable,
            problem=self._problem,
            lag=lag,
            idle_s=0.0 if lag else time.monotonic() - self._last_record,
            bundles={
                bundle_id: BundleScores(
                    duplicates=board.duplicates, rolling=board.rolling(), cumulative=board.cumulative()
                )
                for bundle_id, board in self._boards.items()
            },
        )
