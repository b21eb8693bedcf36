"""Events and records of the topics that one test has for itself."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from kafka import TopicPartition

from streams.archive.files import open_files
from streams.archive.layout import FORMAT, Description
from streams.archive.writer import SegmentWriter, open_archive
from streams.broker.topic_reader import read_topic
from streams.broker.topics import broker_admin, describe_topic
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder

TOPIC_SETTINGS = [
    "behavior_topic",
    "dead_letter_topic",
    "updates_topic",
    "evaluation_topic",
    "metrics_topic",
    "alarms_topic",
    "predictions_topic",
]
NOW_MS = int(time.time() * 1000)


def keyed_event(user: str, number: int) -> tuple[bytes, bytes]:
    """Return the key and the value of a behaviour event, whose event time is `number` ms after NOW_MS."""
    fields = {"event_id": f"{user}-{number}", "user_id": user, "item_id": "i1", "action": "view"}
    return user.encode(), json.dumps(fields | {"event_time_ms": NOW_MS + number}).encode()


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Return all records of a topic, one partition after the other."""

    async def read() -> list[Any]:
        return [record async for records in read_topic(settings, topic) for record in records]

    return asyncio.run(read())


def archive_topic(settings: Settings, folder: Path, segment_records: int = 500) -> Path:
    """Write every record of the behaviour topic to an archive, in segments of about so many records."""
    topic, decoder = describe_topic(settings, settings.behavior_topic), ContractDecoder()
    files = open_files(str(folder))
    open_archive(
        files, Description(format=FORMAT, topic=topic.name, topic_id=str(topic.topic_id), decoder=decoder.name)
    )
    found = read_all(settings, topic.name)
    for partition, end in topic.stable_offsets.items():
        records = [record for record in found if record.partition == partition]
        first = topic.start_offsets[partition]
        while first < end:
            part, records = records[:segment_records], records[segment_records:]
            segment = SegmentWriter(files, topic.name, partition, first)
            segment.add(part, decoder.decode_batch(part))
            first = segment.commit(records[0].offset - 1 if records else end - 1).last + 1
    return folder


def cut_topic(settings: Settings) -> None:
    """Delete every record that the behaviour topic holds now, as retention does."""
    topic = describe_topic(settings, settings.behavior_topic)
    with broker_admin(settings) as admin:
        admin.delete_records({TopicPartition(topic.name, p): end for p, end in topic.end_offsets.items()})
