"""One run of the demo: sends the shop's records, follows the worker and the monitor, and verifies the stored states."""

import threading
import time

import msgspec

from encoder.data.event_log import EventLog
from export.runtime.bundle import Bundle
from streams.commands.replay.producer import Replay
from streams.commands.verify.recompute import TOLERANCE
from streams.commands.verify.result import Verification
from streams.commands.verify.verification import verify
from streams.config.settings import Settings
from streams.demo import shop
from streams.demo.errors import DemoError
from streams.demo.live_view import LiveView
from streams.demo.recommendations import latest_users_recommendations
from streams.demo.results import DemoReport, Progress, VerificationSummary
from streams.demo.scraped_metrics import ScrapedMetrics
from streams.demo.worker_process import WorkerProcess
from streams.monitor.monitor import Monitor
from streams.monitor.scoring.scores import Scores, Snapshot

OUTCOMES = ("applied", "already_applied", "dead_letter", "erased")
REDRAW_S = 0.25
STALL_LIMIT_S = 60.0  # without a new outcome; a restart of Kafka or Cassandra takes less


class StreamingRun:
    """One run against services and a worker that are ready."""

    def __init__(
        self,
        settings: Settings,
        worker: WorkerProcess,
        bundle: Bundle,
        log: EventLog,
        rate: float,
        started_s: float,
    ) -> None:
        """rate: records per second. started_s: monotonic time at which the command started."""
        self._settings = settings
        self._worker = worker
        self._bundle = bundle
        self._log = log
        self._started_s = started_s
        self._records = list(shop.records(log))
        self._replay = Replay(settings, settings.behavior_topic, rate)
        self._replay_failure: BaseException | None = None

    def run(self, view: LiveView) -> tuple[DemoReport, Verification]:
        """Send all records, wait until they are applied and scored, and verify. Raises DemoError."""
        monitor = Monitor(self._settings, self._settings.evaluation_topic, self._settings.metrics_topic)
        monitor.start()
        sender = threading.Thread(target=self._send, name="replay", daemon=True)
        sender.start()
        try:
            with view:
                progress = self._follow(view, monitor)
                snapshot = _wait_until_scored(monitor, progress.applied)
        finally:
            self._replay.stop()
            sender.join()
            monitor.stop()
        self._worker.stop()
        if snapshot.latest is None:
            raise DemoError(f"the worker published no evaluation event{self._worker.last_lines()}")
        view.console.print("Verifying: recomputing every user's state from the topic …")
        verification = verify(self._settings, self._bundle)
        return self._report(progress, snapshot.latest.cumulative, verification), verification

    def _send(self) -> None:
        try:
            self._replay.run(self._records)
        except BaseException as error:  # an error of any kind is raised again in the main thread
            self._replay_failure = error

    def _follow(self, view: LiveView, monitor: Monitor) -> Progress:
        """Redraw until every record has an outcome. Raises DemoError when the worker ends or stalls."""
        first_outcome_s: float | None = None
        latest_outcome_s, finished_before = time.monotonic(), 0
        while True:
            if self._replay_failure is not None:
                raise self._replay_failure
            metrics = self._worker.scrape()
            if self._worker.pid is None:
                raise DemoError(f"the worker ended before the demo did{self._worker.last_lines()}")
            now_s = time.monotonic()
            if metrics is not None:
                finished = sum(metrics.records(outcome) for outcome in OUTCOMES)
                if finished and first_outcome_s is None:
                    first_outcome_s = now_s - REDRAW_S
                if finished != finished_before:
                    latest_outcome_s, finished_before = now_s, finished
                speed = 0.0 if first_outcome_s is None else finished / (now_s - first_outcome_s)
                progress = self._progress(metrics, monitor.snapshot(), now_s - self._started_s, speed)
                view.update(progress)
                if finished >= len(self._records):
                    return progress
            if now_s - latest_outcome_s > STALL_LIMIT_S:
                raise DemoError(f"the worker applied nothing for {STALL_LIMIT_S:.0f} s{self._worker.last_lines()}")
            time.sleep(REDRAW_S)

    def _progress(self, metrics: ScrapedMetrics, snapshot: Snapshot, elapsed_s: float, events_per_s: float) -> Progress:
        return Progress(
            stage="streaming",
            elapsed_s=elapsed_s,
            total_records=len(self._records),
            sent=self._replay.sent,
            applied=metrics.records("applied"),
            already_applied=metrics.records("already_applied"),
            dead_letters=metrics.records("dead_letter"),
            erased=metrics.records("erased"),
            events_per_s=events_per_s,
            lag=metrics.lag,
            freshness_p50_ms=metrics.freshness_ms(0.50),
            freshness_p99_ms=metrics.freshness_ms(0.99),
            rolling=None if snapshot.latest is None else snapshot.latest.rolling,
            catalogue_items=self._bundle.manifest.items,
        )

    def _report(self, progress: Progress, online: Scores, verification: Verification) -> DemoReport:
        return DemoReport(
            progress=msgspec.structs.replace(progress, elapsed_s=time.monotonic() - self._started_s),
            online=online,
            verification=VerificationSummary(
                users=verification.users,
                events=verification.events,
                max_abs_diff=verification.max_abs_diff,
                tolerance=TOLERANCE,
            ),
            users=latest_users_recommendations(self._settings, self._bundle, self._log),
        )


def _wait_until_scored(monitor: Monitor, applied: int) -> Snapshot:
    """The monitor's counts when the monitor has read an evaluation event for every applied event."""
    deadline_s = time.monotonic() + STALL_LIMIT_S
    while (snapshot := monitor.snapshot()).records < applied:
        if time.monotonic() > deadline_s:
            raise DemoError(f"{applied} events were applied, but only {snapshot.records} evaluation events arrived")
        time.sleep(REDRAW_S)
    return snapshot
