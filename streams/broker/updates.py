"""Representation updates to Kafka, in transactions that fence an earlier owner of the partition.

The updates topic is compacted, so the last record of a user must be the user's stored row. A worker can be paused in
the middle of a publication, and go on long after another worker has taken the partitions over. With an idempotent
producer, the paused worker would then put an older vector behind a newer one. So each partition has a transactional id.
A worker that takes the partition begins a new epoch of the id, and the broker refuses every later record of the earlier
owner (https://kafka.apache.org/documentation/#semantics).

Guaranteed: `publish` returns after the transaction is committed, and updates of a partition keep the order of the
calls. Not guaranteed: a reader without `read_committed` may see an update of a transaction that is aborted.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from streams.broker.clients import kafka_errors
from streams.config.errors import BrokerError
from streams.engine.carried_headers import Headers

Update = tuple[bytes | None, bytes | None, Headers]  # key, value and headers

# The time between the beginnings of a partition's transactions. A transaction costs 2 ms of CPU in the worker and in
# the broker each (docs/decisions.md#transaction-rate).
TRANSACTION_EVERY_S = 0.1
# The limit over all partitions of a worker. A worker with many partitions waits longer between transactions.
TRANSACTIONS_PER_S = 20

# The partition's next owner ends an abandoned transaction, or the broker does after this time. An open transaction only
# holds up readers of committed records. The time is longer than a worker waits for a broker (CONFIRM_TIMEOUT_S).
TRANSACTION_TIMEOUT_MS = 150_000
STOP_TIMEOUT_S = 1.0


class Updates:
    """One transactional producer for each partition that this worker owns."""

    def __init__(self, topic: str, group_id: str, make_producer: Callable[[str], AIOKafkaProducer]) -> None:
        """make_producer: makes a producer, not started, for a transactional id."""
        self._topic = topic
        self._group_id = group_id
        self._make_producer = make_producer
        self._writers: dict[int, PartitionWriter] = {}

    async def own(self, partitions: Iterable[int]) -> None:
        """Write to these partitions and no others from now on, and fence earlier owners. Raises BrokerError."""
        await self.stop()
        owned = set(partitions)
        every_s = transaction_every_s(len(owned))
        self._writers = {
            partition: PartitionWriter(
                self._make_producer(transactional_id(self._group_id, self._topic, partition)),
                self._topic,
                partition,
                every_s,
            )
            for partition in owned
        }
        with kafka_errors(f"no transactional producer for {self._topic}"):
            await asyncio.gather(*(writer.start() for writer in self._writers.values()))

    async def stop(self) -> None:
        writers, self._writers = self._writers, {}
        await asyncio.gather(*(writer.stop() for writer in writers.values()))

    async def publish(self, partition: int, updates: list[Update]) -> None:
        """Publish updates in order. Raises BrokerError, also where the partition has another owner."""
        writer = self._writers.get(partition)
        if writer is None:
            raise BrokerError(f"{self._topic}: partition {partition} has another owner by now")
        with kafka_errors(f"updates to {self._topic} partition {partition} were not confirmed"):
            try:
                await writer.publish(updates)
            except (ProducerFenced, InvalidProducerEpoch):
                raise BrokerError(
                    f"another worker has taken over partition {partition} of {self._topic}: "
                    "this worker was paused or did not reach Kafka for too long"
                ) from None


def transactional_id(group_id: str, topic: str, partition: int) -> str:
    """The id of the transactions of one partition. Each group writes under ids of its own."""
    return f"{group_id}-{topic}-{partition}"


def transaction_every_s(partitions: int) -> float:
    """The time between the beginnings of a partition's transactions, where a worker owns so many partitions."""
    return max(TRANSACTION_EVERY_S, partitions / TRANSACTIONS_PER_S)


class PartitionWriter:
    """Publishes to one partition. Updates that come before the next transaction may begin share that transaction."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int, every_s: float) -> None:
        """every_s: the least time between the beginnings of two transactions."""
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._waiting: list[tuple[list[Update], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None  # The producer begins no transaction after this failure.
        self._every_s = every_s
        self._began_s = -every_s  # when the last transaction began, by the loop's clock

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        with contextlib.suppress(KafkaError, TimeoutError):  # The next owner ends an open transaction.
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._producer.stop()

    async def publish(self, updates: list[Update]) -> None:
        """Return after the transaction with these updates is committed. Raises KafkaError."""
        if self._failure is not None:
            raise self._failure
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((updates, committed))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_what_waits())
        await committed

    async def _commit_what_waits(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(self._began_s + self._every_s - loop.time())
            self._began_s = loop.time()
            taken, self._waiting = self._waiting, []
            try:
                # Compaction would keep only a user's last update, so only that one is sent.
                last = {update[0]: update for updates, _ in taken for update in updates}
                await self._transaction(list(last.values()))
            except BaseException as error:
                self._failure = error
                for _, committed in [*taken, *self._waiting]:
                    if not committed.done():
                        committed.set_exception(error)
                        committed.exception()  # A future whose waiter has gone must not log its exception.
                self._waiting = []
                if not isinstance(error, KafkaError):
                    raise
                return
            for _, committed in taken:
                if not committed.done():
                    committed.set_result(None)

    async def _transaction(self, updates: list[Update]) -> None:
        producer = self._producer
        await producer.begin_transaction()
        futures, batch = [], None
        for key, value, headers in updates:
            if batch is None:
                batch = producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                futures.append(await producer.send_batch(batch, self._topic, partition=self._partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=headers)
        if batch is not None:
            futures.append(await producer.send_batch(batch, self._topic, partition=self._partition))
        await asyncio.gather(*futures)
        await producer.commit_transaction()
