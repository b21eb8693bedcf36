"""`thalweg demo`: a simulated shop streamed through a real Kafka, worker and Cassandra, shown while it runs."""

import argparse
import contextlib
import importlib.util
import time
from pathlib import Path

import msgspec
from rich.console import Console

from encoder.commands.number_arguments import positive
from encoder.console import open_console
from encoder.data.event_log import EventLog
from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.commands.items.sending import send_items
from streams.commands.verify.command import print_report as print_verification
from streams.commands.verify.result import Verification
from streams.config.settings import PREFIX, Settings
from streams.demo import shop
from streams.demo.errors import DemoError
from streams.demo.live_view import LiveView
from streams.demo.page_process import PageProcess, has_server
from streams.demo.report_tables import print_report
from streams.demo.results import DemoReport
from streams.demo.staying import stay
from streams.demo.streaming_run import StreamingRun
from streams.demo.worker_process import WorkerProcess
from streams.local.errors import LocalServiceError
from streams.local.process.temporary_folder import temporary_folder
from streams.local.services import local_services

PAGE_LIMIT_S = 20.0  # for the start of the server; the worker takes longer as a rule
EVENTS_PER_S = 4_000  # fast enough to watch, and half of two cores stay free for other programs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--train", action="store_true", help="train and export a bundle first (needs torch)")
    parser.add_argument(
        "--rate", type=positive, default=EVENTS_PER_S, help=f"events per second (default {EVENTS_PER_S})"
    )
    parser.add_argument(
        "--stay",
        action="store_true",
        help="after the report, go on with the shop's events and keep everything up until Ctrl-C",
    )
    parser.add_argument(
        "--rebuild-bundle",
        action="store_true",
        help="only train the bundle that is part of the package again, and start no services (needs torch)",
    )


def run(args: argparse.Namespace) -> int:
    if (args.train or args.rebuild_bundle) and importlib.util.find_spec("torch") is None:
        raise DemoError("training needs torch, which is not installed: `uv sync --extra train`, or leave out --train")
    with temporary_folder() as work:
        if args.rebuild_bundle:
            shop.train_bundle(work, shop.BUNDLE)
            return 0
        bundle = shop.BUNDLE
        if args.train:
            bundle = work / "bundle"
            shop.train_bundle(work, bundle)
        return _run(work, Bundle.load(bundle), args)


def _run(work: Path, bundle: Bundle, args: argparse.Namespace) -> int:
    as_json = args.json
    console = open_console(stderr=as_json)  # with --json, standard output holds the JSON object alone
    started_s = time.monotonic()
    console.print("Starting Kafka and Cassandra …")
    with local_services(work / "services") as services:
        settings = Settings(
            broker=services.kafka.address, cassandra=services.cassandra.address, bundle=str(bundle.path.absolute())
        )
        ensure_topics(settings)
        worker, (log, items) = WorkerProcess(settings, work / "worker.log"), shop.streamed_log()
        page = PageProcess(settings, work / "page" / "page.log") if has_server() else None
        console.print(f"Starting a worker with bundle {bundle.bundle_id} …")
        try:
            if page is not None:
                page.start(wait=False)
            worker.start()
            send_items(settings, items)
            console.print(_where_the_page_is(page), highlight=False, markup=False, soft_wrap=True)
            streaming = StreamingRun(settings, worker, bundle, log, args.rate, started_s)
            report, verification = streaming.run(LiveView(console))
            _print_result(console, report, verification, as_json)
            if args.stay:
                _stay(console, settings, worker, log)
        finally:
            worker.stop()
            if page is not None:
                page.stop()
    return 0 if verification.clean else 1


def _where_the_page_is(page: PageProcess | None) -> str:
    if page is None:
        return "There is no page, because the extra `serve` is not installed: `uv sync --extra serve`"
    try:
        page.wait_until_ready(PAGE_LIMIT_S)
    except LocalServiceError as error:  # The demo shows everything besides the page all the same.
        return f"There is no page: {error}"
    return f"The page: {page.url}"


def _stay(console: Console, settings: Settings, worker: WorkerProcess, log: EventLog) -> None:
    variables = " ".join(
        f"{PREFIX}{name.upper()}={getattr(settings, name)}" for name in ("broker", "cassandra", "bundle")
    )
    console.print("Commands of another shell reach this shop with these variables:")
    console.print(f"export {variables}", highlight=False, markup=False, soft_wrap=True)
    console.print("The shop goes on. Ctrl-C ends everything.")
    with contextlib.suppress(KeyboardInterrupt):
        stay(settings, worker, log)


def _print_result(console: Console, report: DemoReport, verification: Verification, as_json: bool) -> None:
    print_report(console, report)
    if not verification.clean:
        print_verification(verification)
    if as_json:
        print(msgspec.json.encode(summary(report, verification)).decode(), flush=True)


def summary(report: DemoReport, verification: Verification) -> dict[str, object]:
    """The result of `--json` as plain values."""
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
