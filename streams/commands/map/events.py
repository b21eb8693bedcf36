"""Writes all events of a topic or file as JSON Lines of the event contract."""

import asyncio
import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

import msgspec

from encoder.data.contract.rejection import Rejection
from encoder.data.loaders.text.lines import numbered_lines, open_bytes
from encoder.data.loaders.validation import reading
from encoder.data.mapping import Mapping, SourceRecord
from encoder.data.mapping.proposals import Reading, read_record
from streams.broker.topic_reader import read_topic
from streams.commands.map.sample import decoded, of_topic
from streams.config.settings import Settings

_encode = msgspec.json.encode


def write_events_of_file(path: Path, mapping: Mapping, out: Path) -> Reading:
    """Write the events of a file of records in their order. Returns the counts. Raises InputError."""
    counts = Reading()
    with reading(path), open_bytes(path) as file, _open(out) as target:
        _write((decoded(text) for _, text in numbered_lines(file)), mapping, target, counts)
    return counts


def write_events_of_topic(settings: Settings, topic: str, mapping: Mapping, out: Path) -> Reading:
    """Write the events of a topic up to its present end, partition after partition. Returns the counts.

    Raises BrokerError.
    """
    counts = Reading()

    async def write(target: IO[bytes]) -> None:
        async for records in read_topic(settings, topic):
            _write(of_topic(records), mapping, target, counts)

    with _open(out) as target:
        asyncio.run(write(target))
    return counts


def _open(out: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(out, "wb", compresslevel=1)) if out.suffix == ".gz" else out.open("wb")


def _write(records: Iterable[SourceRecord | Rejection], mapping: Mapping, target: IO[bytes], counts: Reading) -> None:
    for record in records:
        for event in read_record(mapping, record, counts):
            target.write(_encode(event) + b"\n")
