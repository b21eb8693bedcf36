"""Archives of simulated histories of any length. The writer holds one segment in memory."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.archive.files import open_files
from streams.archive.layout import DAY_MS, Description, Segment, SegmentFile, Span, events_path, segment_path
from streams.archive.schema import EVENT, SCHEMA
from streams.archive.writer import open_archive, parquet

SEGMENT_ROWS = 500_000
START_MS = 1_700_000_000_000
ACTIONS = ("view", "cart", "purchase")


def write_history(
    folder: Path, description: Description, events: int, users: int, items: int, partitions: int, a_day: int
) -> None:
    """Write an archive of `events` events, as many in each partition.

    The numbers of events of the users are log-normal (sigma 1.5), and the items are drawn uniformly. a_day: events of a
    day.
    """
    files = open_files(str(folder))
    open_archive(files, description)
    for partition in range(partitions):
        draw = np.random.default_rng(partition)
        own = np.arange(partition, users, partitions)
        shares = np.cumsum(draw.lognormal(sigma=1.5, size=len(own)))
        for first, rows in _stretches(events // partitions):
            span = Span(first, first + rows - 1)
            user = own[np.searchsorted(shares, draw.random(rows) * shares[-1])]
            number = np.arange(first, first + rows)
            table = _table(
                description.topic, partition, number, user, draw.integers(0, items, rows), a_day // partitions
            )
            path = events_path(int(START_MS + first) // DAY_MS, partition, span)
            data = parquet(table)
            files.write(path, data)
            segment = Segment(
                first=span.first, last=span.last, files=(SegmentFile(path=path, rows=rows, bytes=len(data)),)
            )
            files.create(segment_path(partition, span), msgspec.json.encode(segment))


def _stretches(events: int) -> Iterator[tuple[int, int]]:
    for first in range(0, events, SEGMENT_ROWS):
        yield first, min(SEGMENT_ROWS, events - first)


def _table(
    topic: str, partition: int, number: NDArray[np.int64], user: NDArray[np.int64], item: NDArray[np.int64], a_day: int
) -> pa.Table:
    rows = len(number)
    time_ms = START_MS + number * DAY_MS // a_day
    action = pa.DictionaryArray.from_arrays(pa.array(number % len(ACTIONS), pa.int32()), list(ACTIONS))
    columns = {
        "kind": _same(EVENT, rows),
        "event_id": _texts(f"{partition}-", number),
        "user_id": _texts("user-", user),
        "item_id": _texts("item-", item),
        "action": action,
        "event_time_ms": pa.array(time_ms),
        "topic": _same(topic, rows),
        "partition": pa.array(np.full(rows, partition, np.int32)),
        "offset": pa.array(number),
        "line": pa.array(np.zeros(rows, np.int32)),
        "record_timestamp_ms": pa.array(time_ms),
    }
    arrays = [columns.get(field.name, pa.nulls(rows, field.type)) for field in SCHEMA]
    return pa.table(arrays, schema=SCHEMA)


def _same(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [text])


def _texts(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array([f"{prefix}{number}" for number in numbers.tolist()])
