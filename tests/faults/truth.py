"""What must have become of each record. The code reads the behaviour topic and uses no code of the worker."""

import asyncio
from collections import Counter

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer
from numpy.typing import NDArray

from streams.broker.topic_reader import read_partition
from streams.broker.topics import describe_topic
from streams.config.settings import Settings
from streams.engine.sampling import Sample

POLL_RECORDS = 5000
REPETITION, ERASURE, LOST = -1, -2, -3  # marks of records that add no step


class Sent(msgspec.Struct):
    event_id: str


class Truth:
    """Every record of the behaviour topic. Records that were read once are known even after the topic deleted them."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self.rows: dict[int, list[tuple[str, str | None]]] = {}  # partition -> (user, event id) by offset
        self.lost: dict[int, set[int]] = {}  # partition -> offsets that retention deleted before they were applied
        self.sample = Sample(topic, settings.evaluation_share)
        self._settings = settings

    def read(self) -> None:
        """Read the records since the last call."""
        asyncio.run(self._read())

    async def _read(self) -> None:
        at = describe_topic(self._settings, self.topic)
        if sum(at.end_offsets.values()) == self.records:
            return  # aiokafka 0.14.0 raises CancelledError if a consumer stops before it has a partition
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.broker, enable_auto_commit=False, max_poll_records=POLL_RECORDS
        )
        await consumer.start()
        decode = msgspec.json.Decoder(Sent).decode
        users: dict[bytes, str] = {}  # one string for each user, to save memory
        try:
            for partition, end in sorted(at.end_offsets.items()):
                rows = self.rows.setdefault(partition, [])
                async for records in read_partition(consumer, self.topic, partition, len(rows), end):
                    for record in records:
                        user = users.get(record.key) or users.setdefault(record.key, record.key.decode())
                        rows.append((user, None if record.value is None else decode(record.value).event_id))
                if len(rows) != end:
                    raise ValueError(f"{self.topic}-{partition} ends at {end}, and {len(rows)} records were read")
        finally:
            await consumer.stop()

    def lose(self, offsets: dict[int, range]) -> None:
        """Note the offsets of each partition that were deleted before a worker could read them."""
        for partition, gone in offsets.items():
            self.lost.setdefault(partition, set()).update(gone)

    @property
    def records(self) -> int:
        return sum(map(len, self.rows.values()))

    def events_sent(self) -> Counter[str]:
        """Count the distinct event ids of each user."""
        return Counter(user for user, event in {row for rows in self.rows.values() for row in rows} if event)

    def expected(self) -> "Expected":
        """Apply all records in the order of partitions. If partitions were added, a user moved only to higher ones."""
        steps: dict[str, int] = {}
        seen: dict[str, set[str]] = {}
        before: dict[int, NDArray[np.int32]] = {}
        erased: set[str] = set()
        for partition, rows in sorted(self.rows.items()):
            lost = self.lost.get(partition, set())
            column = before[partition] = np.zeros(len(rows), np.int32)
            for offset, (user, event) in enumerate(rows):
                if offset in lost:
                    column[offset] = LOST
                elif event is None:
                    column[offset] = ERASURE
                    erased.add(user)
                    steps.pop(user, None)
                    seen.pop(user, None)
                elif event in (ids := seen.setdefault(user, set())):
                    column[offset] = REPETITION
                else:
                    ids.add(event)
                    column[offset] = steps.get(user, 0)
                    steps[user] = int(column[offset]) + 1
        return Expected(
            steps=steps,
            erased=erased - steps.keys(),
            steps_before=before,
            evaluated={partition: self._due(partition, column) for partition, column in before.items()},
        )

    def _due(self, partition: int, steps_before: NDArray[np.int32]) -> NDArray[np.bool_]:
        due = np.zeros(len(steps_before), bool)
        due[self.sample.due(np.full(len(due), partition), np.arange(len(due)))] = True
        return due & (steps_before >= 0)


class Expected(msgspec.Struct):
    """What must be stored and published."""

    steps: dict[str, int]  # steps of each user that has a row
    erased: set[str]  # users that have a tombstone and no row
    steps_before: dict[int, NDArray[np.int32]]  # partition -> by offset, the user's steps before the event, or a mark
    evaluated: dict[int, NDArray[np.bool_]]  # partition -> by offset, whether there is an evaluation event

    def count(self, mark: int) -> int:
        return sum(int((column == mark).sum()) for column in self.steps_before.values())

    def events(self) -> int:
        return sum(int((column >= 0).sum()) for column in self.steps_before.values())
