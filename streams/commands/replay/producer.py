"""Sends records to a topic, at a rate or at full speed, and waits for every confirmation.

Records are packed into whole record batches: docs/decisions.md#record-batches-of-a-replay. The producer is idempotent,
so a retry neither repeats records nor changes their order.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice

from streams.broker.clients import kafka_errors, make_producer
from streams.broker.compression import lz4_encode
from streams.broker.partitioners.rules import DEFAULT
from streams.commands.replay.open_batches import OpenBatches, Record
from streams.config.errors import InputError
from streams.config.settings import Settings

BATCH_BYTES = 256 * 1024  # before compression; larger batches gain nothing and wait longer
TICK_S = 0.02  # at a rate, a record waits at most this long for other records of its batch
RECORDS_PER_SLICE = 2000  # at full speed, the sender gets its turn after this many records: about 10 ms
REQUEST_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
MAX_RECORD_BYTES = 1_000_000  # compressed; below Kafka's default limit by the size of the headers of a batch


class Replay:
    """Sends records once. Another thread may read the counts and call `stop` meanwhile.

    sent: records that all in-sync replicas confirmed.
    failed: records larger than MAX_RECORD_BYTES, which are left out.
    """

    def __init__(
        self, settings: Settings, topic: str, rate: float | None = None, partitioner: str | None = None
    ) -> None:
        """rate: records per second; None means full speed. partitioner: the rule that chooses partitions; None means
        the setting, or murmur2 without a setting. Raises InputError for a rate that is not above 0."""
        if rate is not None and not rate > 0:
            raise InputError(f"rate is {rate}: give a number of events per second above 0")
        self._settings = settings
        self._partitioner = partitioner or settings.partitioner or DEFAULT
        self.topic = topic
        self.rate = rate
        self.sent = 0
        self.failed = 0
        self.elapsed_s = 0.0
        self._is_stopped = False
        self._error: BaseException | None = None

    def run(self, records: Iterable[Record]) -> None:
        """Send all records and wait until each is confirmed. Blocking. Raises BrokerError.

        The first record is read before the connection is opened and the clock starts, because a log may be sorted then.
        """
        records = iter(records)
        first = list(islice(records, 1))
        began_s = time.monotonic()
        try:
            with kafka_errors(self._failure):
                asyncio.run(self._run(chain(first, records)))
        finally:
            self.elapsed_s = time.monotonic() - began_s

    def _failure(self) -> str:
        return f"replay to {self.topic} at {self._settings.broker} ended after {self.sent} confirmed records"

    def stop(self) -> None:
        """Take no further records. `run` returns when the records on their way are confirmed."""
        self._is_stopped = True

    async def _run(self, records: Iterator[Record]) -> None:
        producer = make_producer(
            self._settings,
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )
        await producer.start()
        try:
            partitions = await producer.partitions_for(self.topic)
            batches = OpenBatches(producer, self.topic, len(partitions), self._partitioner, self._on_answer)
            sendable = filter(self._is_small_enough, records)
            if self.rate is None:
                await self._send_at_full_speed(sendable, batches)
            else:
                await self._send_at_rate(sendable, batches, self.rate)
            await batches.send_all()
            await batches.wait_for_answers(REQUEST_TIMEOUT_S)
            self._raise_error()
        finally:
            with suppress(TimeoutError):  # the stop waits for confirmations, and a lost broker never confirms
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await producer.stop()

    async def _send_at_full_speed(self, records: Iterator[Record], batches: OpenBatches) -> None:
        while not self._is_stopped and (taken := list(islice(records, RECORDS_PER_SLICE))):
            await batches.add(taken)
            self._raise_error()
            await asyncio.sleep(0)

    async def _send_at_rate(self, records: Iterator[Record], batches: OpenBatches, rate: float) -> None:
        began_s, count = time.monotonic(), 0
        while not self._is_stopped:
            due = int((time.monotonic() - began_s) * rate) + 1 - count
            taken = list(islice(records, min(due, RECORDS_PER_SLICE)))
            if due > 0 and not taken:
                return
            await batches.add(taken)
            count += len(taken)
            if due <= RECORDS_PER_SLICE:
                await batches.send_all()
                await asyncio.sleep(max(TICK_S, 1 / rate))
            self._raise_error()

    def _on_answer(self, count: int, error: BaseException | None) -> None:
        if error is None:
            self.sent += count
        elif self._error is None:
            self._error = error

    def _is_small_enough(self, record: Record) -> bool:
        """False for a record that the broker would refuse; the record is counted as failed.

        The broker must not decide: after a batch that the broker refuses, an idempotent producer cannot go on.
        """
        value = record[1]
        if value is None or len(value) <= MAX_RECORD_BYTES or len(lz4_encode(value)) <= MAX_RECORD_BYTES:
            return True
        self.failed += 1
        return False

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
