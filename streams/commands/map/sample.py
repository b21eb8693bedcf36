"""A sample of a topic or of a file: decoded records, or why a value cannot be decoded."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from encoder.data.contract.rejection import Rejection
from encoder.data.loaders.text.lines import numbered_lines, open_bytes
from encoder.data.loaders.validation import reading
from encoder.data.mapping import SourceRecord
from streams.broker.clients import open_consumer
from streams.broker.decoding.record_decoder import open_payload
from streams.broker.topic_reader import read_partition
from streams.broker.topics import describe_topic
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.codec import Rejected
from streams.engine.payload.mapped_decoder import read_values
from streams.engine.payload.reader import PayloadReader, read_json


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
    """The newest records of a topic, as many of each partition where the partitions are long enough.

    Raises BrokerError, InputError for an empty topic, and SettingsError and RegistryError for a schema registry.
    """
    sample = read_part(settings, name, count)
    if not sample.records:
        raise InputError(f"topic {name} at {settings.broker} has no record: name a topic that producers write")
    return sample


def read_part(settings: Settings, name: str, count: int, *, of_oldest: bool = False) -> Sample:
    """The newest or the oldest records of a topic, `count` offsets in all. Empty where these offsets hold no records.

    Raises BrokerError, and SettingsError and RegistryError for a schema registry.
    """
    topic = describe_topic(settings, name)
    lengths = {partition: end - topic.start_offsets[partition] for partition, end in topic.stable_offsets.items()}
    if of_oldest:
        begins = topic.start_offsets
        ends = {partition: begins[partition] + taken for partition, taken in shares(lengths, count).items()}
    else:
        begins, ends = newest_starts(topic.start_offsets, topic.stable_offsets, count), topic.stable_offsets
    # The stop of a consumer without an assignment raises CancelledError (aiokafka 0.14.0).
    records = asyncio.run(_part(settings, name, begins, ends)) if any(lengths.values()) else []
    payload = open_payload(settings)
    return Sample(f"topic {name}", of_topic(records, payload), [record.partition for record in records])


async def _part(settings: Settings, name: str, begins: Mapping[int, int], ends: Mapping[int, int]) -> list[Any]:
    records: list[Any] = []
    failure = f"topic {name} at {settings.broker} could not be read"
    async with open_consumer(settings, failure) as consumer:
        for partition, end in ends.items():
            async for batch in read_partition(consumer, name, partition, begins[partition], end):
                records += batch
    return records


def newest_starts(first_offsets: Mapping[int, int], ends: Mapping[int, int], count: int) -> dict[int, int]:
    """For each partition, the offset from which a sample of `count` offsets reads up to the end of the partition."""
    lengths = {partition: end - first_offsets[partition] for partition, end in ends.items()}
    return {partition: ends[partition] - taken for partition, taken in shares(lengths, count).items()}


def shares(lengths: Mapping[int, int], count: int) -> dict[int, int]:
    """For each partition, the number of offsets in a sample of `count` offsets. lengths: offsets of each partition.

    Every partition gives the same number. What a short partition lacks is taken from the others.
    """
    taken, left = {}, count
    for done, partition in enumerate(sorted(lengths, key=lambda one: lengths[one])):
        taken[partition] = min(lengths[partition], math.ceil(left / (len(lengths) - done)))
        left -= taken[partition]
    return taken


def of_topic(records: Sequence[Any], payload: PayloadReader) -> list[SourceRecord | Rejection]:
    """Records of aiokafka with their values decoded."""
    return [
        Rejection(value.reason, value.field)
        if isinstance(value, Rejected)
        else SourceRecord(value, record.key, record.headers, record.timestamp)
        for record, value in zip(records, read_values(payload, records), strict=True)
    ]


def decoded(value: bytes) -> SourceRecord | Rejection:
    """A record of a file with its value decoded as JSON."""
    found = read_json(value)
    return Rejection(found.reason, found.field) if isinstance(found, Rejected) else SourceRecord(found)
