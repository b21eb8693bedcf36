"""Outputs of a micro-batch to Kafka, as whole record batches, confirmed.

Guaranteed: `publish` and `update` return after every output is acknowledged by all in-sync replicas. Not guaranteed: an
output can be in its topic twice, after a crash before the commit and a replay. Both copies have the same id.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.broker.clients import kafka_errors, make_producer, no_broker_errors
from streams.broker.updates import TRANSACTION_TIMEOUT_MS, Update, Updates
from streams.config.errors import BrokerError
from streams.config.settings import Settings
from streams.engine.carried_headers import Headers
from streams.engine.outputs import Letter, Output

# A request of this size is half of what a broker takes by default (1 MB). An evaluation event has about 300 bytes.
BATCH_BYTES = 512 * 1024
REQUEST_TIMEOUT_S = 30.0
# The client never gives up on a batch of an idempotent producer. A broker that restarts is back well within this time.
# After this time the worker ends, and its supervisor starts the worker again.
CONFIRM_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0

RecordBatches = list[tuple[int, Any]]  # the partition and the record batch
UpdatesByPartition = dict[int, list[Update]]


class Publisher:
    """An idempotent producer for evaluation events and dead letters, and transactional producers for updates."""

    def __init__(self, settings: Settings, group_id: str) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._updates = Updates(settings.updates_topic, group_id, self._make_producer)

    def _make_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        return make_producer(
            self._settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            compression_type=None if self._settings.compression == "none" else self._settings.compression,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )

    async def start(self) -> None:
        """Connect. Raises BrokerError."""
        self._producer = self._make_producer()
        with no_broker_errors(self._settings):
            await self._producer.start()

    async def own(self, partitions: Iterable[int]) -> None:
        """Become the only publisher of updates of these partitions, and fence earlier owners. Raises BrokerError."""
        client = self._started.client
        known = client.cluster.partitions_for_topic(self._settings.evaluation_topic) or ()
        if not set(partitions) <= set(known):  # Partitions were added.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await client.force_metadata_update()
        await self._updates.own(partitions)

    async def stop(self) -> None:
        await self._updates.stop()
        if self._producer is not None:
            with contextlib.suppress(TimeoutError):  # A replay publishes again what is not confirmed by now.
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._producer.stop()

    def record_batches(self, outputs: Iterable[Output], headers: Iterable[Headers]) -> RecordBatches:
        """Record batches of each partition, in order. Any thread may call this method. headers: of each output."""
        found: RecordBatches = []
        batches: dict[int, Any] = {}
        for (partition, key, value), own in zip(outputs, headers, strict=False):  # The headers may have no end.
            batch = batches.get(partition)
            if batch is None or batch.append(key=key, value=value, timestamp=None, headers=own) is None:
                batch = batches[partition] = self._started.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=own)
                found.append((partition, batch))
        return found

    async def publish(self, evaluations: RecordBatches, dead_letters: Iterable[Letter]) -> None:
        """Send evaluation events and dead letters, and await each confirmation. Raises BrokerError."""
        topic, letter_topic = self._settings.evaluation_topic, self._settings.dead_letter_topic
        producer = self._started
        with kafka_errors(f"outputs to {topic} were not confirmed"):
            events = [await producer.send_batch(batch, topic, partition=p) for p, batch in evaluations]
        with kafka_errors(f"outputs to {letter_topic} were not confirmed"):
            letters = [
                await producer.send(letter_topic, key=key, value=value, headers=list(headers), partition=partition)
                for partition, key, value, headers in dead_letters
            ]
        async with self._limit():
            await asyncio.gather(_confirmed(topic, events), _confirmed(letter_topic, letters))

    async def update(self, updates: UpdatesByPartition) -> None:
        """Publish the representations of stored rows, confirmed. Raises BrokerError."""
        async with self._limit():
            await asyncio.gather(*(self._updates.publish(partition, pairs) for partition, pairs in updates.items()))

    @property
    def _started(self) -> AIOKafkaProducer:
        assert self._producer is not None, "`start` comes first"
        return self._producer

    @contextlib.asynccontextmanager
    async def _limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                yield
        except TimeoutError:
            waited = f"were not confirmed within {CONFIRM_TIMEOUT_S:.0f} s"
            raise BrokerError(f"outputs {waited}: is {self._settings.broker} there?") from None


async def _confirmed(topic: str, futures: list[asyncio.Future[Any]]) -> None:
    """Await the broker's answers about records of one topic. Raises BrokerError that names the topic."""
    with kafka_errors(f"outputs to {topic} were not confirmed"):
        await asyncio.gather(*futures)


def by_partition(updates: Iterable[Output], headers: Iterable[Headers]) -> UpdatesByPartition:
    """Key, value and headers of each update, in order, by partition."""
    found: defaultdict[int, list[Update]] = defaultdict(list)
    for (partition, key, value), own in zip(updates, headers, strict=False):  # The headers may have no end.
        found[partition].append((key, value, own))
    return found
