"""What every log format yields: batches of rows, each an event or the reason why it is none."""

import gzip
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

from encoder.data.events import BehaviorEvent
from encoder.errors import InputError

BATCH_ROWS = 8192
DAY_MS = 86_400_000


class Unusable(NamedTuple):
    """What stands in the place of an event where a row is none."""

    reason: str
    user_id: str = ""  # "" where the row has none


@dataclass
class Batch:
    """Consecutive rows of a file, one event each. A line that holds several events gives as many rows."""

    lines: Sequence[int]  # each row's line in the file, counted from 1
    raw: list[bytes]  # the rows as they stand in the file, without line ends
    events: list[BehaviorEvent | Unusable]


class LogFormat(Protocol):
    """One way to write an event log."""

    @property
    def holds_records(self) -> bool:
        """Whether a row as it stands is the record of its event; else records are the events as JSON.

        Rows that are no events go into the behaviour topic as they stand in any case.
        """
        ...

    def batches(self, path: Path) -> Iterator[Batch]:
        """The file's rows in order, each exactly once. Raises InputError where the whole file is not of this format."""
        ...


def checked_batches(log_format: LogFormat, path: Path) -> Iterator[Batch]:
    """The format's batches, with events that break the contract's value rules turned into their reasons.

    Raises InputError where the file cannot be read.
    """
    latest_ms = int(time.time() * 1000) + DAY_MS
    try:
        for batch in log_format.batches(path):
            for row, event in enumerate(batch.events):
                if not isinstance(event, Unusable) and (reason := rejection(event, latest_ms)):
                    batch.events[row] = Unusable(reason, event.user_id)
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
    for name, value in (event.attributes or {}).items():
        if isinstance(value, float) and not abs(value) < float("inf"):
            return f"attribute {name} {value} is not finite"
    return None


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, unzipped where its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def line_batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Lines without their ends, BATCH_ROWS at a time."""
    while batch := [line.rstrip(b"\r\n") for line in islice(lines, BATCH_ROWS)]:
        yield batch
