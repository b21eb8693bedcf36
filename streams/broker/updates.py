"""Representation updates to Kafka, in transactions that fence a predecessor.

The updates topic is compacted: its last record of a user must be the user's stored row. A worker that was paused may
go on in the middle of a publication long after another one has taken its partitions over; an idempotent producer would
let it put an older vector behind a newer one. So each partition has a transactional id. Taking the partition begins a
new epoch of it, after which the broker refuses whatever the predecessor still sends
(https://kafka.apache.org/documentation/#semantics).

What is guaranteed: `publish` returns after the transaction is committed; updates of a partition are in the order of the
calls. What is not: a reader that does not ask for `read_committed` may see an update of a transaction that is aborted.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from streams.config.errors import BrokerError

Pair = tuple[bytes | None, bytes | None]

# Between the beginnings of a partition's transactions: one costs some 2 ms of CPU here and as much at the broker,
# however little is in it. Rows can be read long before; of a user that changed twice only the last update is sent.
TRANSACTION_EVERY_S = 0.1
# Of all partitions together, longer waits where a worker has many: a twelfth of a core for both sides.
TRANSACTIONS_PER_S = 20

# An abandoned transaction is ended by the partition's next owner, or by the broker after this; it holds up readers of
# committed records only. Longer than a worker waits for a broker that is away (CONFIRM_TIMEOUT_S of the publisher).
TRANSACTION_TIMEOUT_MS = 150_000


class Updates:
    """One transactional producer for each partition that this worker owns."""

    def __init__(self, topic: str, group: str, producer: Callable[[str], AIOKafkaProducer]) -> None:
        """producer: makes one, not started, for a transactional id."""
        self._topic = topic
        self._group = group
        self._make = producer
        self._writers: dict[int, Writer] = {}

    async def own(self, partitions: Iterable[int]) -> None:
        """Write to these partitions and no others from now on; no earlier owner can any more. Raises BrokerError."""
        await self.stop()
        owned = set(partitions)
        every_s = transaction_every_s(len(owned))
        writers = {p: Writer(self._make(f"{self._group}-{self._topic}-{p}"), self._topic, p, every_s) for p in owned}
        self._writers = writers
        try:
            await asyncio.gather(*(writer.start() for writer in writers.values()))
        except KafkaError as error:
            raise BrokerError(f"no transactional producer for {self._topic}: {error!r}") from error

    async def stop(self) -> None:
        writers, self._writers = self._writers, {}
        await asyncio.gather(*(writer.stop() for writer in writers.values()))

    async def publish(self, partition: int, pairs: list[Pair]) -> None:
        """Key and value of each update, in order. Raises BrokerError, as where the partition has another owner."""
        writer = self._writers.get(partition)
        if writer is None:
            raise BrokerError(f"{self._topic}: partition {partition} has another owner by now")
        try:
            await writer.publish(pairs)
        except (ProducerFenced, InvalidProducerEpoch):
            raise BrokerError(
                f"another worker has taken over partition {partition} of {self._topic}: this one was away for too long"
            ) from None
        except KafkaError as error:
            raise BrokerError(f"updates of partition {partition} were not confirmed: {error!r}") from error


def transaction_every_s(partitions: int) -> float:
    """Between the beginnings of a partition's transactions, where a worker owns so many."""
    return max(TRANSACTION_EVERY_S, partitions / TRANSACTIONS_PER_S)


class Writer:
    """Publishes to one partition; what comes before the next transaction may begin shares it."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int, every_s: float) -> None:
        """every_s: between the beginnings of transactions, at least."""
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._waiting: list[tuple[list[Pair], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._every_s = every_s
        self._began_s = -every_s  # the last transaction, by the loop's clock

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        with contextlib.suppress(KafkaError, TimeoutError):  # the next owner ends what is under way
            await asyncio.wait_for(self._producer.stop(), 1.0)

    async def publish(self, pairs: list[Pair]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((pairs, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(self._began_s + self._every_s - loop.time())
            self._began_s = loop.time()
            taken, self._waiting = self._waiting, []
            try:
                # Compaction would keep a user's last pair alone, too.
                last = {pair[0]: pair for pairs, _ in taken for pair in pairs}
                await self._transaction(list(last.values()))
            except BaseException as error:
                for _, done in [*taken, *self._waiting]:
                    if not done.done():
                        done.set_exception(error)
                        done.exception()  # seen: whoever waits raises it, nobody has to
                self._waiting = []
                if not isinstance(error, KafkaError):
                    raise
                return
            for _, done in taken:
                if not done.done():
                    done.set_result(None)

    async def _transaction(self, pairs: list[Pair]) -> None:
        producer = self._producer
        await producer.begin_transaction()
        futures, batch = [], None
        for key, value in pairs:
            if batch is None:
                batch = producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None) is None:
                futures.append(await producer.send_batch(batch, self._topic, partition=self._partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        if batch is not None:
            futures.append(await producer.send_batch(batch, self._topic, partition=self._partition))
        await asyncio.gather(*futures)
        await producer.commit_transaction()
