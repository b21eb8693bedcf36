"""Writes all events of a topic or file as JSON Lines of the event contract."""

import asyncio
import contextlib
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.loaders.text.lines import numbered_lines, open_bytes
from encoder.data.loaders.validation import reading
from encoder.data.mapping import Mapping
from streams.broker.decoding.record_decoder import open_payload
from streams.broker.topic_reader import read_topic
from streams.commands.map.counts import Counts
from streams.commands.map.sample import decoded, of_topic
from streams.config.settings import Settings

_encode = msgspec.json.encode


def write_events_of_file(path: Path, mapping: Mapping, out: Path) -> Counts:
    """Write the events of a file of records in their order. Returns the counts. Raises InputError."""
    counts = Counts(mapping)
    with reading(path), open_bytes(path) as file, _open(out) as target:
        for _, text in numbered_lines(file):
            _write(counts.add(decoded(text)), target)
    return counts


def write_events_of_topic(settings: Settings, topic: str, mapping: Mapping, out: Path) -> Counts:
    """Write the events of a topic up to its present end, partition after partition. Returns the counts.

    Raises BrokerError, and SettingsError and RegistryError for a schema registry.
    """
    counts = Counts(mapping)
    payload = open_payload(settings)

    async def write(target: IO[bytes]) -> None:
        async for records in read_topic(settings, topic):
            for record, source in zip(records, of_topic(records, payload), strict=True):
                _write(counts.add(source, record.partition), target)

    with _open(out) as target:
        asyncio.run(write(target))
    return counts


@contextlib.contextmanager
def _open(out: Path) -> Iterator[IO[bytes]]:
    """A file that gets the name when all events are written. Until then, an earlier file with this name stays."""
    path = out.resolve()  # the file and not a link to the file
    draft = path.with_name(f"{path.name}.part") if path.is_file() or not path.exists() else path  # no part of a pipe
    try:
        with (
            cast(IO[bytes], gzip.open(draft, "wb", compresslevel=1)) if out.suffix == ".gz" else draft.open("wb")
        ) as file:
            yield file
    except BaseException:  # also Ctrl-C: no half of the events stays
        if draft != path:
            draft.unlink(missing_ok=True)
        raise
    if draft != path:
        draft.replace(path)


def _write(events: Iterable[IncomingEvent], target: IO[bytes]) -> None:
    for event in events:
        target.write(_encode(event) + b"\n")
