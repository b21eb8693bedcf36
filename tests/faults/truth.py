"""What must have become of each record: the behaviour topic read once more, without any code of the worker."""

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
REPETITION, ERASURE, LOST = -1, -2, -3  # what an offset holds instead of an event to apply


class Sent(msgspec.Struct):
    event_id: str


class Truth:
    """Every record of the behaviour topic, kept beyond the topic's retention when read before."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self.rows: dict[int, list[tuple[str, str | None]]] = {}  # partition -> (user, event id) by offset
        self.lost: dict[int, set[int]] = {}  # partition -> offsets that retention deleted before they were applied
        self.sample = Sample(topic, settings.evaluation_share)
        self._settings = settings

    def read(self) -> None:
        """Read what came since the last time."""
        asyncio.run(self._read())

    async def _read(self) -> None:
        at = describe_topic(self._settings, self.topic)
        if sum(at.end_offsets.values()) == self.records:
            return  # a consumer that is stopped before it was assigned anything raises CancelledError (aiokafka 0.14.0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.broker, enable_auto_commit=False, max_poll_records=POLL_RECORDS
        )
        await consumer.start()
        decode = msgspec.json.Decoder(Sent).decode
        users: dict[bytes, str] = {}  # one string a user
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
        """By partition, what no worker will see."""
        for partition, gone in offsets.items():
            self.lost.setdefault(partition, set()).update(gone)

    @property
    def records(self) -> int:
        return sum(map(len, self.rows.values()))

    def events_sent(self) -> Counter[str]:
        """Distinct event ids by user."""
        return Counter(user for user, event in {row for rows in self.rows.values() for row in rows} if event)

    def expected(self) -> "Expected":
        """Replay in partition order; where partitions were added, a user's later partition is the higher one."""
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
    """steps: by user that has a row. steps_before: by partition and offset; else a kind as above. evaluated: by the
    same, whether there is an evaluation event; of all events where nothing is sampled."""

    steps: dict[str, int]
    erased: set[str]
    steps_before: dict[int, NDArray[np.int32]]
    evaluated: dict[int, NDArray[np.bool_]]

    def count(self, kind: int) -> int:
        return sum(int((column == kind).sum()) for column in self.steps_before.values())

    def events(self) -> int:
        return sum(int((column >= 0).sum()) for column in self.steps_before.values())
