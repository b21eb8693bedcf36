"""Small archives, the comparison of an archive with its topic, and an object store on this machine."""

import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from encoder.data.events import BehaviorEvent
from streams.archive.columns import ArchivedRecord, to_outcomes
from streams.archive.files import open_files
from streams.archive.layout import Description, Segment
from streams.archive.reader import ArchiveReader
from streams.archive.writer import SegmentWriter, open_archive
from streams.broker.topics import describe_topic
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder, Outcome
from tests.support.topics import read_all

BUCKET = "bucket"  # of the object store
DESCRIPTION = Description(format=1, topic="events", topic_id="1-2", decoder="the event contract")


def view(user_id: str, number: int) -> BehaviorEvent:
    return BehaviorEvent(
        event_id=f"e{number}", user_id=user_id, item_id=f"i{number % 5 + 1}", action="view", event_time_ms=number * 1000
    )


def write_segment(
    place: str | Path, partition: int, first: int, times_ms: Sequence[int], outcomes: Sequence[Outcome] | None = None
) -> Segment:
    """Write a segment with one record at each offset from `first`. outcomes: by default one view of a user each."""
    files = open_files(str(place))
    open_archive(files, DESCRIPTION)
    segment = SegmentWriter(files, "events", partition, first)
    records = [ArchivedRecord(first + at, time_ms) for at, time_ms in enumerate(times_ms)]
    segment.add(records, outcomes or [view(f"u{one.offset % 3}", one.offset) for one in records])
    return segment.commit(first + len(times_ms) - 1)


def differences(settings: Settings, address: str) -> list[str]:
    """Compare the archive with the topic, record by record, and the files in its folder with its segments.

    Records that are gone from the topic are not compared. The archive must go up to the topic's stable offsets.
    """
    topic = describe_topic(settings, settings.behavior_topic)
    reader = ArchiveReader.open(address)
    reader.check(topic.name, topic.topic_id, ContractDecoder.name)
    in_topic: dict[int, list[Any]] = defaultdict(list)
    for record in read_all(settings, settings.behavior_topic):
        in_topic[record.partition].append(record)
    found = []
    for partition, stable in topic.stable_offsets.items():
        if reader.end(partition) != stable:
            found.append(f"partition {partition}: archived up to {reader.end(partition)}, stable up to {stable}")
        records, outcomes = [], []
        for batch in reader.read(partition, topic.start_offsets[partition]):
            some_records, some_outcomes = to_outcomes(batch)
            records += some_records
            outcomes += some_outcomes
        decoded = ContractDecoder().decode_batch(in_topic[partition])
        wanted = [
            (one.offset, one.timestamp, as_row(what)) for one, what in zip(in_topic[partition], decoded, strict=True)
        ]
        archived = [(*one, as_row(what)) for one, what in zip(records, outcomes, strict=True)]
        if wanted != archived:
            at = next(
                (n for n, pair in enumerate(zip(wanted, archived, strict=False)) if pair[0] != pair[1]), "the end"
            )
            found.append(
                f"partition {partition}: {len(wanted)} records in the topic, {len(archived)} archived, see {at}"
            )
    listed = {file.path for p in reader.partitions for segment in reader.segments(p) for file in segment.files}
    there = {f"events/{name}" for name in reader.files.names("events")}
    if there != listed:
        found.append(f"files that no segment lists: {there - listed}; files that are missing: {listed - there}")
    return found


def as_row(outcome: Outcome) -> dict[str, Any]:
    """The fields of an outcome. The decoder's class of an event has bounds that an archived event needs no more."""
    return {"": outcome.__class__.__name__.removeprefix("Incoming").removeprefix("Behavior"), **asdict(outcome)}


@contextlib.contextmanager
def object_store() -> Iterator[str]:
    """Run a store that speaks S3 and keeps its objects in memory. Yields the address of its bucket.

    AWS's own tools, also those of child processes, find the store by the environment.
    """
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # It logs each request.
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "key")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        try:
            import s3fs

            s3fs.S3FileSystem.clear_instance_cache()  # An instance keeps the address of an earlier store.
            s3fs.S3FileSystem().mkdir(BUCKET)
            yield f"s3://{BUCKET}"
        finally:
            server.stop()
