"""Measures freshness without an address of any worker: from the timestamp of an event's record to that of its update.

A worker publishes an update after the row is written, so the row can be read at that time. A few updates of each second
are measured, and for each the record of its event is read.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.broker.clients import open_consumer
from streams.config.errors import BrokerError
from streams.config.settings import Settings
from streams.contracts.representation_updates import RepresentationUpdate

SAMPLE_EVERY_S = 0.25
KEPT_S = 60.0
READ_TIMEOUT_MS = 2_000
FETCH_BYTES = 16 * 1024  # a fetch brings one record batch at least, however long the batch is
RETRY_S = 5.0


class Freshness:
    """Keeps the measurements of the last KEPT_S seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._samples: deque[tuple[float, float]] = deque()  # (monotonic time in s, freshness in ms)
        self._wanted: tuple[str, int] | None = None  # id of an event, and timestamp of its update

    def offer(self, updates: Sequence[tuple[Any, RepresentationUpdate]]) -> None:
        """Choose one of these (record, update) for the next measurement. Each has the same chance."""
        if updates:
            record, update = random.choice(updates)
            self._wanted = (update.source, record.timestamp)

    def forget(self) -> None:
        """Begin anew, because the next updates are those of another bundle. A measurement that goes on is lost."""
        self._samples, self._wanted = deque(), None

    def quantiles(self) -> tuple[float | None, float | None, int]:
        """The median and the 99th percentile in milliseconds, and the number of measurements."""
        oldest_s = time.monotonic() - KEPT_S
        while self._samples and self._samples[0][0] < oldest_s:
            self._samples.popleft()
        if not self._samples:
            return None, None, 0
        p50, p99 = np.quantile([value for _, value in self._samples], [0.5, 0.99]).tolist()
        return p50, p99, len(self._samples)

    async def measure(self) -> None:
        """Measure until cancelled. Kafka may be away for a while."""
        while True:
            with contextlib.suppress(BrokerError):  # The log has the reason from the readers of the topics.
                failure = f"topic {self._settings.behavior_topic} at {self._settings.broker} could not be read"
                async with open_consumer(
                    self._settings, failure, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=READ_TIMEOUT_MS
                ) as consumer:
                    await self._measure(consumer)
            await asyncio.sleep(RETRY_S)

    async def _measure(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            samples, wanted, self._wanted = self._samples, self._wanted, None
            place = None if wanted is None else source_place(wanted[0])
            if wanted is not None and place is not None and place[0] == self._settings.behavior_topic:
                written_ms = await _timestamp_ms(consumer, *place)
                if written_ms is not None:
                    samples.append((time.monotonic(), max(0.0, wanted[1] - written_ms)))
            await asyncio.sleep(SAMPLE_EVERY_S)


def source_place(event_id: str) -> tuple[str, int, int] | None:
    """The topic, partition and offset of an event's id. None for a text that is no such id."""
    parts = event_id.rsplit("-", 3)
    if len(parts) != 4 or not all(part.isdecimal() for part in parts[1:]):
        return None
    return parts[0], int(parts[2]), int(parts[3])


async def _timestamp_ms(consumer: AIOKafkaConsumer, topic: str, partition: int, offset: int) -> int | None:
    """The timestamp of a record. None where retention has deleted the record, or Kafka takes too long."""
    tp = TopicPartition(topic, partition)
    consumer.assign([tp])
    consumer.seek(tp, offset)
    records = (await consumer.getmany(tp, timeout_ms=READ_TIMEOUT_MS, max_records=1)).get(tp, [])
    return records[0].timestamp if records and records[0].offset == offset else None
