"""`thalweg demo`: the whole loop on a simulated shop, on a Kafka and a Cassandra of its own, in front of you."""

import argparse
import importlib.util
import tempfile
import threading
import time
from pathlib import Path

import msgspec
from rich.console import Console

from encoder.data.event_log import EventLog
from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.commands.verify import TOLERANCE, Verification, print_report, verify
from streams.config.settings import Settings
from streams.demo import shop
from streams.demo.shop import DemoError
from streams.demo.stories import user_stories
from streams.demo.view import WIDTH, DemoView, Progress, Report, Verified
from streams.demo.worker_process import WorkerProcess
from streams.local.services import local_services
from streams.monitor.monitor import Monitor
from streams.monitor.scoring.scores import Snapshot

EVENTS_PER_S = 4_000  # a visible rate that leaves half of two cores to whatever else runs on the machine
REDRAW_S = 0.25
STALLED_S = 60.0  # without a record applied; a restart of either service takes less


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--train", action="store_true", help="train and export the bundle first (needs torch)")
    parser.add_argument("--rate", type=float, default=EVENTS_PER_S, help=f"events per second (default {EVENTS_PER_S})")
    parser.add_argument(
        "--rebuild-bundle", action="store_true", help="only train and export the bundle that the demo brings along"
    )


def run(args: argparse.Namespace) -> int:
    if (args.train or args.rebuild_bundle) and importlib.util.find_spec("torch") is None:
        raise DemoError("training needs torch, which is not installed: `uv sync --extra train`, or leave out --train")
    with tempfile.TemporaryDirectory(prefix="thalweg-demo-") as folder:
        work = Path(folder)
        if args.rebuild_bundle:
            shop.train_bundle(work, shop.BUNDLE)
            return 0
        bundle = shop.BUNDLE
        if args.train:
            bundle = work / "bundle"
            shop.train_bundle(work, bundle)
        return _run(work, Bundle.load(bundle), args.rate, args.json)


def _run(work: Path, bundle: Bundle, rate: float, as_json: bool) -> int:
    console = Console(stderr=as_json)  # standard output then holds the object alone
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)  # a file has no edge to cut the tables at
    started = time.monotonic()
    console.print("Starting Kafka and Cassandra …")
    with local_services(work / "services") as services:
        settings = Settings(
            broker=services.kafka.address, cassandra=services.cassandra.address, bundle=str(bundle.path.absolute())
        )
        ensure_topics(settings)
        worker = WorkerProcess(settings, work / "worker.log")
        console.print(f"Starting a worker with bundle {bundle.bundle_id} …")
        try:
            worker.start()
            log = shop.streamed_log()
            demo = Demo(settings, worker, bundle, log, rate, started)
            report, verification = demo.play(DemoView(console))
        finally:
            worker.stop()
    with DemoView(console) as view:
        view.report(report)
    if not verification.clean:
        print_report(verification)
    if as_json:
        print(msgspec.json.encode(summary(report, verification)).decode())
    return 0 if verification.clean else 1


class Demo:
    """One streaming run against services and a worker that are up."""

    def __init__(
        self, settings: Settings, worker: WorkerProcess, bundle: Bundle, log: EventLog, rate: float, started: float
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._bundle = bundle
        self._log = log
        self._started = started
        self._records = list(shop.records(log))
        self._replay = Replay(settings, settings.behavior_topic, rate)
        self._failure: BaseException | None = None

    def play(self, view: DemoView) -> tuple[Report, Verification]:
        """Stream everything, wait until it is applied, verify. Raises DemoError where the worker ends or stalls."""
        monitor = Monitor(self._settings, self._settings.evaluation_topic, self._settings.metrics_topic)
        monitor.start()
        thread = threading.Thread(target=self._send, name="replay", daemon=True)
        thread.start()
        try:
            with view:
                progress = self._follow(view, monitor)
                snapshot = self._until_scored(monitor, progress.applied)
        finally:
            self._replay.stop()
            thread.join()
            monitor.stop()
        self._worker.stop()
        if snapshot.latest is None:
            raise DemoError("no evaluation event arrived: see the worker's messages above")
        view.console.print("Verifying: every user's state recomputed from the topic …")
        verification = verify(self._settings, self._bundle)
        report = Report(
            progress=msgspec.structs.replace(progress, elapsed_s=time.monotonic() - self._started),
            online=snapshot.latest.cumulative,
            verified=Verified(
                users=verification.users,
                events=verification.events,
                max_abs_diff=verification.max_abs_diff,
                tolerance=TOLERANCE,
            ),
            users=user_stories(self._settings, self._bundle, self._log),
        )
        return report, verification

    def _send(self) -> None:
        try:
            self._replay.run(self._records)
        except BaseException as error:
            self._failure = error

    def _follow(self, view: DemoView, monitor: Monitor) -> Progress:
        """Redraw until every sent record has an outcome."""
        first_s: float | None = None
        moved_s, before = time.monotonic(), 0
        while True:
            if self._failure is not None:
                raise self._failure
            reading = self._worker.read()
            if self._worker.pid is None:
                raise DemoError(f"the worker ended before the demo did:\n{self._worker.last_lines()}")
            now = time.monotonic()
            if reading is not None:
                outcomes = {
                    name: reading.records(name) for name in ("applied", "already_applied", "dead_letter", "erased")
                }
                done = sum(outcomes.values())
                if done and first_s is None:
                    first_s = now - REDRAW_S
                if done != before:
                    moved_s, before = now, done
                progress = Progress(
                    stage="streaming",
                    elapsed_s=now - self._started,
                    events=len(self._records),
                    sent=self._replay.sent,
                    applied=outcomes["applied"],
                    already_applied=outcomes["already_applied"],
                    dead_letters=outcomes["dead_letter"],
                    erased=outcomes["erased"],
                    events_per_s=done / (now - first_s) if first_s is not None and done else 0.0,
                    lag=reading.lag,
                    freshness_p50_ms=reading.freshness_ms(0.50),
                    freshness_p99_ms=reading.freshness_ms(0.99),
                    rolling=None if (latest := monitor.snapshot().latest) is None else latest.rolling,
                    catalogue=self._bundle.manifest.items,
                )
                view.update(progress)
                if done >= len(self._records):
                    return progress
            if now - moved_s > STALLED_S:
                raise DemoError(f"nothing was applied for {STALLED_S:.0f} s:\n{self._worker.last_lines()}")
            time.sleep(REDRAW_S)

    def _until_scored(self, monitor: Monitor, applied: int) -> Snapshot:
        """The monitor's counts once it has read an evaluation event for every applied event."""
        deadline = time.monotonic() + STALLED_S
        while (snapshot := monitor.snapshot()).records < applied:
            if time.monotonic() > deadline:
                raise DemoError(f"{applied} events were applied, but only {snapshot.records} evaluation events arrived")
            time.sleep(REDRAW_S)
        return snapshot


def summary(report: Report, verification: Verification) -> dict[str, object]:
    """The result as plain values."""
    progress, online = report.progress, report.online
    return {
        "events": progress.sent,
        "applied": progress.applied,
        "already_applied": progress.already_applied,
        "dead_letters": progress.dead_letters,
        "events_per_s": round(progress.events_per_s, 1),
        "freshness_ms": {"p50": progress.freshness_p50_ms, "p99": progress.freshness_p99_ms},
        "verify": {
            "users": verification.users,
            "events": verification.events,
            "max_abs_diff": verification.max_abs_diff,
        },
        "online": {
            scorer: {"recall@20": metrics["recall@20"], "mrr@20": metrics["mrr@20"], "n": online.events}
            for scorer, metrics in online.metrics.items()
        },
        "elapsed_s": round(progress.elapsed_s, 1),
    }
