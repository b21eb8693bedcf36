"""`thalweg monitor`: online metrics in the terminal, for Prometheus and on the metrics topic."""

import argparse
import asyncio
import contextlib
import signal
import threading
import time

import msgspec
from rich.console import Console
from rich.live import Live

from encoder.commands.number_arguments import positive
from encoder.console import open_console
from streams.config.settings import load_settings
from streams.health.endpoints import Endpoints
from streams.monitor.exposition import monitor_registry
from streams.monitor.monitor import Monitor
from streams.monitor.terminal_tables import TABLE_COLUMNS, snapshot_line, snapshot_tables

LINE_EVERY_S = 5.0
REDRAW_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print the final numbers as one JSON object on the last line"
    )
    parser.add_argument(
        "--until-idle",
        type=positive,
        metavar="S",
        help="stop when all records are read and no new record came for S seconds (default: run until Ctrl-C)",
    )


def run(args: argparse.Namespace) -> int:
    settings = load_settings()
    monitor = Monitor(settings, settings.evaluation_topic, settings.metrics_topic)
    endpoints = Endpoints(
        settings.http_host, settings.http_port, monitor_registry(monitor.snapshot), lambda: "ok", lambda: True
    )
    console = open_console(stderr=args.json)
    asyncio.run(_run_monitor(monitor, endpoints, console, args.until_idle))
    if args.json:
        # JSON has no not-a-number: msgspec writes null.
        print(msgspec.json.encode(monitor.snapshot()).decode())
    else:
        console.print(snapshot_tables(monitor.snapshot()), crop=False)
    return 0


async def _run_monitor(monitor: Monitor, endpoints: Endpoints, console: Console, until_idle_s: float | None) -> None:
    stop = threading.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    address = await endpoints.start()
    console.print(f"Prometheus: {address}/metrics")
    display = asyncio.create_task(_display(monitor, console, stop, until_idle_s))
    try:
        await monitor.run(stop)
    finally:
        stop.set()
        await display
        await endpoints.stop()


async def _display(monitor: Monitor, console: Console, stop: threading.Event, until_idle_s: float | None) -> None:
    """Show the numbers until `stop` is set: redrawn in place in a terminal with room for them, as lines elsewhere."""
    has_room = console.is_terminal and console.width >= TABLE_COLUMNS
    live = Live(console=console, auto_refresh=False, transient=True) if has_room else None
    line_s = time.monotonic()
    with live or contextlib.nullcontext():
        while not stop.is_set():
            snapshot = monitor.snapshot()
            if live is not None:
                live.update(snapshot_tables(snapshot), refresh=True)
            elif time.monotonic() - line_s >= LINE_EVERY_S:
                console.print(snapshot_line(snapshot), highlight=False, markup=False, soft_wrap=True)
                line_s = time.monotonic()
            if until_idle_s is not None and snapshot.idle_s >= until_idle_s:
                stop.set()
            await asyncio.sleep(REDRAW_S)
