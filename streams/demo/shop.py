"""The demo's data and model: a simulated shop, its first events to train on, the later ones to stream."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from encoder.data.event_log import EventLog
from encoder.data.simulator import Shop, faulty_records
from streams.config.errors import ThalwegError

SEED, ITEMS, USERS = 7, 2_000, 3_000
EVENTS = 360_000
STREAMED = 60_000  # the last ones; the rest is for training
LATE, DUPLICATE, MALFORMED = 0.01, 0.01, 0.002
BUNDLE = Path(__file__).with_name("bundle")


class DemoError(ThalwegError):
    """A step of the demo that did not end well."""


def streamed_log() -> EventLog:
    """The events to stream: what comes after the training part, about STREAMED of them."""
    return Shop(SEED, ITEMS, USERS).simulate(EVENTS).split(_training_share())[1]


def records(log: EventLog) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of what goes over the topic: the log with late, repeated and broken records."""
    return faulty_records(log, late=LATE, duplicate=DUPLICATE, malformed=MALFORMED, seed=SEED)


def train_bundle(work: Path, bundle: Path) -> None:
    """Simulate, train and export, by the commands a user would call. Raises DemoError where one fails."""
    log, checkpoint = work / "shop.jsonl", work / "checkpoint"
    counts = ["--events", str(EVENTS), "--items", str(ITEMS), "--users", str(USERS), "--seed", str(SEED)]
    _thalweg("simulate", *counts, "--out", str(log))
    _thalweg("train", str(log), "--first", repr(_training_share()), "--out", str(checkpoint))
    _thalweg("export", str(checkpoint), "--out", str(bundle), "--without-checkpoint")


def _training_share() -> float:
    return 1 - STREAMED / EVENTS


def _thalweg(*arguments: str) -> None:
    print("$ thalweg", *arguments, flush=True)
    ended = subprocess.run([sys.executable, "-m", "streams.cli", *arguments], check=False)
    if ended.returncode != 0:
        raise DemoError(f"`thalweg {arguments[0]}` ended with code {ended.returncode}: its message is above")
