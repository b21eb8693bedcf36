"""What every log format yields: batches of rows, each an event or the reason why it is none."""

import gzip
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from encoder.errors import InputError
from encoder.events import BehaviorEvent

BATCH_ROWS = 8192
DAY_MS = 86_400_000


@dataclass
class Batch:
    """Consecutive rows of a file. `events[i]` is a str, the reason, where row i is not an event."""

    first_line: int  # number of row 0 in the file, counted from 1
    raw: list[bytes]  # the rows as they stand in the file, without line ends
    events: list[BehaviorEvent | str]


class LogFormat(Protocol):
    """One way to write an event log."""

    def batches(self, path: Path) -> Iterator[Batch]:
        """The file's rows in order, each exactly once. Raises InputError where the whole file is not of this format."""
        ...

    def value(self, raw: bytes, event: BehaviorEvent | str) -> bytes:
        """The record value by which a row enters the behaviour topic; rows that are no events go as they stand."""
        ...

    def user_of(self, raw: bytes) -> str:
        """The user id of a row that is not an event, "" where it has none."""
        ...


def checked_batches(log_format: LogFormat, path: Path) -> Iterator[Batch]:
    """The format's batches, with events that break the contract's value rules turned into their reasons.

    Raises InputError where the file cannot be read.
    """
    latest_ms = int(time.time() * 1000) + DAY_MS
    try:
        for batch in log_format.batches(path):
            for row, event in enumerate(batch.events):
                if not isinstance(event, str) and (reason := rejection(event, latest_ms)):
                    batch.events[row] = reason
            yield batch
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"cannot read the event log {path}: {error}; check the path and that the file is whole"
        ) from None


def rejection(event: BehaviorEvent, latest_ms: int) -> str | None:
    """Why an event of the right types is still unusable; None where it is fine."""
    if not (event.user_id and event.item_id and event.action and event.event_id):
        empty = next(name for name in ("user_id", "item_id", "action", "event_id") if not getattr(event, name))
        return f"{empty} is empty"
    if not 0 <= event.event_time_ms <= latest_ms:
        side = "negative" if event.event_time_ms < 0 else "more than a day ahead of the clock"
        return f"event_time_ms {event.event_time_ms} is {side}"
    if event.price is not None and not abs(event.price) < float("inf"):
        return f"price {event.price} is not finite"
    return None


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, unzipped where its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def line_batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Lines without their ends, BATCH_ROWS at a time."""
    while batch := [line.rstrip(b"\r\n") for line in islice(lines, BATCH_ROWS)]:
        yield batch
