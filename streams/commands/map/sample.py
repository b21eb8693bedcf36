"""A sample of a topic or of a file: decoded records, or why a value cannot be decoded."""

import asyncio
import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from encoder.data.contract.judge import read_object
from encoder.data.contract.rejection import Rejection, why_not_an_object
from encoder.data.loaders.text.lines import numbered_lines, open_bytes
from encoder.data.loaders.validation import reading
from encoder.data.mapping import SourceRecord
from streams.broker.clients import open_consumer
from streams.broker.topic_reader import read_partition
from streams.broker.topics import Topic, describe_topic
from streams.config.errors import InputError
from streams.config.settings import Settings

_decode = msgspec.json.Decoder().decode


class Sample(NamedTuple):
    """Records of a topic or file. For a topic, the partition of each record."""

    of: str  # names the sample in texts
    records: list[SourceRecord | Rejection]
    partitions: list[int]  # of each record; empty for a file


def read_file(path: Path, count: int) -> Sample:
    """The first lines of a file of JSON Lines, which may be compressed with gzip or zstd. Raises InputError."""
    with reading(path), open_bytes(path) as file:
        lines = [text for _, text in islice(numbered_lines(file), count)]
    if not lines:
        raise InputError(f"{path} has no line: name a file of JSON Lines with records of a topic")
    return Sample(str(path), [decoded(text) for text in lines], [])


def read_newest(settings: Settings, name: str, count: int) -> Sample:
    """The newest records of each partition of a topic. Raises BrokerError, and InputError for an empty topic."""
    topic = describe_topic(settings, name)
    records = asyncio.run(_newest(settings, name, topic, count)) if topic.records else []
    if not records:
        raise InputError(f"topic {name} at {settings.broker} has no record: name a topic that producers write")
    return Sample(f"topic {name}", of_topic(records), [record.partition for record in records])


async def _newest(settings: Settings, name: str, topic: Topic, count: int) -> list[Any]:
    each = math.ceil(count / topic.partitions)
    records: list[Any] = []
    failure = f"topic {name} at {settings.broker} could not be read"
    async with open_consumer(settings, failure) as consumer:
        for partition, end in topic.stable_offsets.items():
            start = max(topic.start_offsets[partition], end - each)
            async for batch in read_partition(consumer, name, partition, start, end):
                records += batch
    return records


def of_topic(records: Sequence[Any]) -> list[SourceRecord | Rejection]:
    """Records of aiokafka with their values decoded."""
    return [decoded(record.value, record.key, record.headers, record.timestamp) for record in records]


def decoded(
    value: bytes | None, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = (), timestamp_ms: int = -1
) -> SourceRecord | Rejection:
    """The record with its value decoded as JSON."""
    found = None
    if value is not None:
        try:
            found = _decode(value)
        except (ValueError, RecursionError):
            found = read_object(value)
            if found is None:
                return why_not_an_object(value)
    return SourceRecord(found, key, headers, timestamp_ms)
