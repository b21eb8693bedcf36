"""Record batches of a topic's partitions: filled with records, sent as a whole, and answered by the broker."""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from aiokafka.errors import KafkaTimeoutError

from streams.broker.partitioners.rules import PARTITIONERS

CACHED_KEYS = 1 << 18  # partitions of the latest keys; murmur2 in Python costs as much as everything else of a record

Record = tuple[bytes | None, bytes | None]  # key and value
OnAnswer = Callable[[int, BaseException | None], None]  # number of records in a batch, and the error of the batch


class OpenBatches:
    """One open record batch for each partition, and the batches that the broker has not answered yet.

    A record goes to the partition that one rule chooses for the record's key (`streams.broker.partitioners`). All
    records of a user therefore stay in one partition, in their order. A record without a key goes to partition 0.
    """

    def __init__(self, producer: Any, topic: str, partitions: int, partitioner: str, on_answer: OnAnswer) -> None:
        """producer: a started AIOKafkaProducer; partitioner: a name in PARTITIONERS; on_answer: called once for each
        batch that the broker answered."""
        self._producer = producer
        self._topic = topic
        self._on_answer = on_answer
        self._open = [producer.create_batch() for _ in range(partitions)]
        self._unanswered: set[Any] = set()
        rule = PARTITIONERS[partitioner]
        self._partition_of = lru_cache(CACHED_KEYS)(lambda key: rule(key, partitions))

    async def add(self, records: list[Record]) -> None:
        """Put records into the open batches and send batches that are full. Waits when the broker is behind."""
        partition_of, batches = self._partition_of, self._open  # `_send` replaces a batch within the list
        for key, value in records:
            partition = 0 if key is None else partition_of(key)
            if batches[partition].append(key=key, value=value, timestamp=None) is None:
                await self._send(partition)
                batches[partition].append(key=key, value=value, timestamp=None)

    async def send_all(self) -> None:
        """Send every open batch that has records, full or not."""
        for partition, batch in enumerate(self._open):
            if batch.record_count():
                await self._send(partition)

    async def wait_for_answers(self, timeout_s: float) -> None:
        """Wait until the broker has answered every batch.

        Raises KafkaTimeoutError when no answer comes for `timeout_s`: an idempotent producer of aiokafka itself would
        try for ever.
        """
        while self._unanswered:
            answered, _ = await asyncio.wait(self._unanswered, timeout=timeout_s, return_when=FIRST_COMPLETED)
            if not answered:
                raise KafkaTimeoutError(f"no confirmation for {timeout_s:.0f} s")

    async def _send(self, partition: int) -> None:
        batch = self._open[partition]
        self._open[partition] = self._producer.create_batch()
        count = batch.record_count()
        future = await self._producer.send_batch(batch, self._topic, partition=partition)

        def on_done(future: Any) -> None:
            self._unanswered.discard(future)
            self._on_answer(count, future.exception())

        self._unanswered.add(future)
        future.add_done_callback(on_done)
