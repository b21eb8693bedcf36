"""The demo's data and model: a simulated shop, whose first events train a model and whose later events are streamed."""

import itertools
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from encoder.data.event_log import EventLog
from encoder.data.simulator import Shop, faulty_records
from streams.contracts.catalogue_items import CatalogueItem
from streams.demo.errors import DemoError

SEED, ITEMS, USERS = 7, 2_000, 3_000
EVENTS = 360_000
STREAMED_EVENTS = 60_000  # the last events of the shop; the earlier events are for training
LATE, DUPLICATE, MALFORMED = 0.01, 0.01, 0.002  # shares of the streamed records
BUNDLE = Path(__file__).with_name("bundle")


def streamed_log() -> tuple[EventLog, dict[str, bytes]]:
    """The events after the training part, and the value of each item's record for the catalogue, by item.

    The log has about STREAMED_EVENTS, because events of equal time stay together.
    """
    shop = Shop(SEED, ITEMS, USERS)
    simulation = shop.run(EVENTS)
    fields = shop.item_list(simulation)
    items = [CatalogueItem(**dict(zip(fields, row, strict=True))) for row in zip(*fields.values(), strict=True)]
    values = {item.item_id: msgspec.json.encode(item) for item in items}
    return simulation.log.split(_training_share())[1], values


def records(log: EventLog) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each record to send: the events of the log with late, repeated and malformed records."""
    return faulty_records(log, late=LATE, duplicate=DUPLICATE, malformed=MALFORMED, seed=SEED)


def later_logs() -> Iterator[EventLog]:
    """Logs of further days of the same items and users, without end. The number of events is the seed of the days."""
    for number in itertools.count(1):
        yield Shop(SEED, ITEMS, USERS).simulate(EVENTS + number).split(_training_share())[1]


def later_records(log: EventLog, later: Iterable[EventLog], until_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of records after those of the log: the events of the later logs, moved behind each other.

    until_ms: no event is moved beyond this time, because events of the future are dead letters.
    """
    last_ms = int(log.time_ms[-1])
    for one in later:
        time_ms = one.time_ms + (last_ms + 1 - int(one.time_ms[0]))
        last_ms = int(time_ms[-1])
        if last_ms > until_ms:
            return
        yield from records(replace(one, time_ms=time_ms))


def train_bundle(work: Path, bundle: Path) -> None:
    """Simulate, train and export with the commands that a user would call. Raises DemoError when one command fails."""
    log, checkpoint = work / "shop.jsonl", work / "checkpoint"
    counts = ["--events", str(EVENTS), "--items", str(ITEMS), "--users", str(USERS), "--seed", str(SEED)]
    _run_thalweg("simulate", *counts, "--out", str(log))
    _run_thalweg("train", str(log), "--first", repr(_training_share()), "--out", str(checkpoint))
    _run_thalweg("export", str(checkpoint), "--out", str(bundle), "--without-checkpoint", "--overwrite")


def _training_share() -> float:
    return 1 - STREAMED_EVENTS / EVENTS


def _run_thalweg(*arguments: str) -> None:
    print("$ thalweg", *arguments, flush=True)
    ended = subprocess.run([sys.executable, "-m", "streams.cli", *arguments], check=False)
    if ended.returncode != 0:
        raise DemoError(f"`thalweg {arguments[0]}` ended with code {ended.returncode}: its message is printed above")
