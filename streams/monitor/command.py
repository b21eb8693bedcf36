"""`thalweg monitor`: online metrics and alarms in the terminal, for Prometheus and on topics."""

import argparse
import asyncio
import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.live import Live

from encoder.commands.number_arguments import positive
from encoder.console import open_console
from encoder.errors import InputError
from export.runtime.bundle import Bundle
from streams.broker.topics import topic_exists
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.local_state import home
from streams.config.settings import Settings, setting_label
from streams.health.endpoints import Endpoints
from streams.health.rights.check import check_broker_rights
from streams.health.rights.kafka_rights import FROZEN
from streams.monitor.exposition import monitor_registry
from streams.monitor.inputs import Extras
from streams.monitor.monitor import Monitor
from streams.monitor.saved_state import SavedState
from streams.monitor.terminal_tables import TABLE_COLUMNS, snapshot_line, snapshot_tables

LINE_EVERY_S = 5.0
REDRAW_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle",
        metavar="DIR",
        help="also score representations of this bundle that are an hour and a day old, and watch the vectors",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("CHAMPION", "CHALLENGER"),
        help="compare these two bundles alone (default: every pair of bundles that score the same events, and the one "
        "that was seen first is the champion)",
    )
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
    bundle = None if args.bundle is None else Bundle.load(Path(args.bundle))
    if bundle is not None:
        if settings.updates_noise_epsilon is not None:
            raise SettingsError(
                f"--bundle {args.bundle} reads exact vectors from the updates topic, and "
                f"{setting_label('updates_noise_epsilon')} says that workers publish noisy ones: leave --bundle out"
            )
        settings = _settings_of(settings, bundle.bundle_id)
    console = open_console(stderr=args.json)
    pair = _pair(args.compare)
    state = _open_state(settings)
    if state is None:
        console.print(
            "Another monitor keeps the state of this topic. This monitor reads the topic from its beginning and "
            "publishes nothing."
        )
        monitor = Monitor(settings, settings.evaluation_topic, extras=Extras(bundle=bundle, pair=pair))
    else:
        check_broker_rights(settings, "monitor", uses=[] if bundle is None else [FROZEN])
        extras = Extras(alarms=True, predictions=True, bundle=bundle, comparisons=True, pair=pair, state=state)
        monitor = Monitor(settings, settings.evaluation_topic, settings.metrics_topic, extras=extras)
    endpoints = Endpoints(
        settings.http_host, settings.http_port, monitor_registry(monitor.snapshot), lambda: "ok", lambda: True
    )
    asyncio.run(_run_monitor(monitor, endpoints, console, args.until_idle))
    if args.json:
        # JSON has no not-a-number: msgspec writes null.
        print(msgspec.json.encode(monitor.snapshot()).decode())
    else:
        console.print(snapshot_tables(monitor.snapshot()), crop=False)
    return 0


def _settings_of(settings: Settings, bundle_id: str) -> Settings:
    """The settings with the topic of the bundle's updates. Raises BrokerError.

    A monitor has no login to Cassandra, where the table `bundles` names the topic. The first worker of a bundle that is
    not the first of its keyspace makes the bundle's own topic, so the topic tells by its existence.
    """
    own = settings.bundle_updates_topic(bundle_id, is_first=False)
    return msgspec.structs.replace(settings, updates_topic=own) if topic_exists(settings, own) else settings


def _pair(names: list[str] | None) -> tuple[str, str] | None:
    """The pair of --compare. Raises InputError where both are the same bundle."""
    if names is None:
        return None
    champion, challenger = names
    if champion == challenger:
        raise InputError(f"--compare {champion} {challenger}: name two different bundles by their ids")
    return champion, challenger


def _open_state(settings: Settings) -> SavedState | None:
    """The state of the evaluation topic; None where another monitor holds the state. Raises SettingsError."""
    folder = settings.monitor_folder or str(home(os.environ) / "monitor")
    state = SavedState(Path(folder), settings.broker, settings.evaluation_topic)
    try:
        return state if state.acquire() else None
    except OSError as error:
        raise SettingsError(
            f"the monitor cannot keep its state in {folder}: {error.strerror}; set THALWEG_MONITOR_FOLDER to a folder "
            "of your own"
        ) from None


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
