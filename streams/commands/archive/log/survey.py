"""What a topic says about a log that an archive begins with: where the topic goes on, and which events both have."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from encoder.data.events import BehaviorEvent
from streams.broker.clients import open_consumer
from streams.broker.topic_reader import POLL_RECORDS, read_partition
from streams.broker.topics import Topic
from streams.commands.archive.log.identity import (
    IDENTITY,
    Identities,
    identities_by_content,
    identities_by_id,
)
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.codec import Erasure, RecordDecoder, Several, WithoutUser

# An event is recorded at most so long after its time, or before its time where a clock is ahead. So an event from the
# time of the boundary on has no record that is older than this before the boundary, and an event before that time has
# no record that is younger than this behind the boundary.
OVERLAP_MS = 3_600_000
MOST_STRAYS = 0.01  # share of the records; more say that the rule of the partitions is another one


class Survey(msgspec.Struct, kw_only=True):
    """What was found.

    begins: by partition, the offset from which the archive copies the topic. by_id, by_content: of the events that the
    archive copies and that the log may have too, ascending. erased: by plain user id, the time of the last erasure that
    the archive does not copy. recent: copied events of the last OVERLAP_MS before the boundary. strays: of `records`,
    those in a partition that their user does not belong to.
    """

    begins: dict[int, int]
    by_id: Identities
    by_content: Identities
    erased: dict[str, int] = {}
    recent: int = 0
    records: int = 0
    strays: int = 0


class Surveyor:
    """Reads a topic from its beginning to its present end."""

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        decoder: RecordDecoder,
        until_ms: int,
        partition_of: Callable[[str], int],
    ) -> None:
        """decoder: gives plain user ids. until_ms: the time of the boundary. partition_of: by the plain user id."""
        self._settings = settings
        self._topic = topic
        self._decoder = decoder
        self._until_ms = until_ms
        self._partition_of = partition_of
        self._by_id: list[Identities] = [np.empty(0, IDENTITY)]
        self._by_content: list[Identities] = [np.empty(0, IDENTITY)]
        self._found = Survey(begins={}, by_id=self._by_id[0], by_content=self._by_content[0])

    async def survey(self, accept_gaps: bool, tell: Callable[[int], None]) -> Survey:
        """Read the topic. tell: takes the number of records that are read.

        Raises InputError where retention may have deleted records that the archive would copy, unless accept_gaps, and
        where the records do not follow the rule of the partitions. Raises BrokerError.
        """
        topic, found = self._topic, self._found
        failure = f"topic {topic.name} at {self._settings.broker} could not be read"
        async with open_consumer(self._settings, failure, max_poll_records=POLL_RECORDS) as consumer:
            found.begins = await self._begins(consumer)
            if not accept_gaps:
                check_beginnings(topic, found.begins, self._until_ms)
            read = 0
            for partition, end in topic.stable_offsets.items():
                start = topic.start_offsets[partition]
                async for records in read_partition(consumer, topic.name, partition, start, end):
                    self._add(partition, records)
                    read += len(records)
                    tell(read)
        found.by_id, found.by_content = (
            np.unique(np.concatenate(self._by_id)),
            np.unique(np.concatenate(self._by_content)),
        )
        if found.strays > MOST_STRAYS * found.records:
            raise InputError(
                f"{found.strays:,} of {found.records:,} records of {topic.name} do not stand in the partition of their "
                "user, so the events of the log cannot be given a partition: the producers must choose the partition "
                "by the user id (`thalweg rekey` writes such a topic), and partitions must not have been added after "
                "--until"
            )
        return found

    async def _begins(self, consumer: AIOKafkaConsumer) -> dict[int, int]:
        """By partition, the first record whose timestamp is at or after the boundary less OVERLAP_MS."""
        partitions = [TopicPartition(self._topic.name, partition) for partition in range(self._topic.partitions)]
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, self._until_ms - OVERLAP_MS))
        ends = self._topic.stable_offsets
        return {
            tp.partition: ends[tp.partition] if at is None else min(at.offset, ends[tp.partition])
            for tp, at in found.items()
        }

    def _add(self, partition: int, records: Sequence[Any]) -> None:
        found, begin = self._found, self._found.begins[partition]
        erasures = [one for one in records if one.offset < begin and one.value is None]
        for record, outcome in zip(erasures, self._decoder.decode_batch(erasures), strict=True):
            if isinstance(outcome, Erasure):
                found.erased[outcome.user_id] = max(record.timestamp, found.erased.get(outcome.user_id, 0))
        shared: list[BehaviorEvent] = []
        for outcome in self._decoder.decode_batch([one for one in records if one.offset >= begin]):
            if isinstance(outcome, WithoutUser):
                continue
            found.records += 1
            found.strays += self._partition_of(outcome.user_id) != partition
            if not isinstance(outcome, Erasure):
                events = outcome.events if isinstance(outcome, Several) else (outcome,)
                # The times of a log may be rounded.
                shared += (one for one in events if one.event_time_ms < self._until_ms + OVERLAP_MS)
        found.recent += sum(-OVERLAP_MS <= one.event_time_ms - self._until_ms < 0 for one in shared)
        self._by_id.append(identities_by_id(shared))
        self._by_content.append(identities_by_content(shared))


def check_beginnings(topic: Topic, begins: dict[int, int], until_ms: int) -> None:
    """Raises InputError where records from the boundary on may be gone.

    begins: of a `Survey`. A partition that has lost records shows by an older record that the lost ones were older too.
    """
    for partition, begin in sorted(begins.items()):
        start = topic.start_offsets[partition]
        if begin <= start and start > 0:
            raise InputError(
                f"partition {partition} of {topic.name} begins at offset {start}, and no record there is older than an "
                f"hour before --until {np.datetime64(until_ms, 'ms')}Z: retention may have deleted events after "
                "--until, which would be in neither the log nor the topic; give a log until a later time, or "
                "--accept-gaps where no such event is missing"
            )
