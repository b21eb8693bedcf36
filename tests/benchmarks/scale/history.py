"""Archives of simulated histories of any length. The writer holds one segment in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.archive.files import open_files
from streams.archive.layout import DAY_MS, Description
from streams.archive.log_part import complete, write_log_part
from streams.archive.schema import EVENT, SCHEMA

SEGMENT_ROWS = 500_000
START_MS = 1_700_000_000_000
POSITION = ("topic", "partition", "offset", "line")
ACTIONS = ("view", "cart", "purchase")


def write_history(
    folder: Path, description: Description, events: int, users: int, items: int, partitions: int, a_day: int
) -> None:
    """Write an archive that begins with a log of `events` events, as many in each partition, and has nothing else.

    The numbers of events of the users are log-normal (sigma 1.5), and the items are drawn uniformly. a_day: events of a
    day.
    """
    files = open_files(str(folder))
    for partition in range(partitions):
        rows = events // partitions
        tables = _tables(partition, rows, np.arange(partition, users, partitions), items, a_day // partitions)
        for _ in write_log_part(files, description.topic, partition, rows, tables, end=0):
            pass
    complete(files, description)


def _tables(partition: int, events: int, own: NDArray[np.int64], items: int, a_day: int) -> Iterator[pa.Table]:
    """The events of the users whose numbers are `own`."""
    draw = np.random.default_rng(partition)
    shares = np.cumsum(draw.lognormal(sigma=1.5, size=len(own)))
    for first in range(0, events, SEGMENT_ROWS):
        number = np.arange(first, min(first + SEGMENT_ROWS, events))
        user = own[np.searchsorted(shares, draw.random(len(number)) * shares[-1])]
        yield _table(partition, number, user, draw.integers(0, items, len(number)), a_day)


def _table(
    partition: int, number: NDArray[np.int64], user: NDArray[np.int64], item: NDArray[np.int64], a_day: int
) -> pa.Table:
    """Rows with all columns of the archive but for the position."""
    rows = len(number)
    time_ms = START_MS + number * DAY_MS // a_day
    columns = {
        "kind": pa.repeat(EVENT, rows),
        "event_id": _texts(f"{partition}-", number),
        "user_id": _texts("user-", user),
        "item_id": _texts("item-", item),
        "action": pa.array(ACTIONS).take(pa.array(number % len(ACTIONS))),
        "event_time_ms": pa.array(time_ms),
        "record_timestamp_ms": pa.array(time_ms),
    }
    given = [field for field in SCHEMA if field.name not in POSITION]
    return pa.table({field.name: columns.get(field.name, pa.nulls(rows, field.type)) for field in given})


def _texts(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array([f"{prefix}{number}" for number in numbers.tolist()])
