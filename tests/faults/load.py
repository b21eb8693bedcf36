"""An endless load of random events, and a producer that keeps sending while the broker fails."""

import asyncio
import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from kafka.partitioner.default import murmur2

ITEMS = [f"item-{i}" for i in range(1, 501)]
ACTIONS = ["view", "cart", "purchase", "wave"]  # the bundle does not know the action "wave"
BATCH_BYTES = 256 * 1024
TICK_S = 0.02
SLICE = 1000  # records of a batch at most
WAITING_RECORDS = 50_000  # where so many wait for a broker, no more are drawn: about 10 MB
AGAIN_WITHIN = 5  # events of the user; a worker recognises repetitions of the user's last 8 events
HOT_USER = "hot"

Pair = tuple[bytes, bytes | None]


class Delivery(NamedTuple):
    """A batch of records that the broker has confirmed."""

    end: int  # the offset behind the last record
    at: float  # time.monotonic()


class Load:
    """Draws records in a reproducible order and counts them. A scenario is checked against these counts."""

    def __init__(
        self,
        draw: random.Random,
        users: int,
        hot_share: float = 0.0,
        repetitions: int = 0,
        erasures_share: float = 0.0,
        disorder_ms: int = 50_000,
    ) -> None:
        """Each event is repeated up to `repetitions` times, and its time may be up to `disorder_ms` late."""
        self.events: Counter[str] = Counter()  # distinct event ids of each user, also of erased users
        self.repeated = 0
        self.erasures = 0
        self.delivered: dict[int, list[Delivery]] = {}  # by partition, in order of offsets
        self._number = 0  # of the last event; a later sender of the same load continues from it
        self._draw = draw
        self._users = users
        self._hot_share = hot_share
        self._repetitions = repetitions
        self._erasures_share = erasures_share
        self._disorder_ms = disorder_ms
        self._again: dict[
            str, deque[tuple[int, Pair]]
        ] = {}  # user -> (number of its events at the time, record to repeat)

    def __iter__(self) -> Iterator[Pair]:
        draw = self._draw
        while True:
            user = HOT_USER if draw.random() < self._hot_share else f"user-{draw.randrange(self._users)}"
            waiting = self._again.get(user)
            if waiting and (self.events[user] - waiting[0][0] >= AGAIN_WITHIN or draw.random() < 0.5):
                self.repeated += 1
                yield waiting.popleft()[1]
                continue
            if draw.random() < self._erasures_share:
                self.erasures += 1
                yield user.encode(), None
                continue
            self._number += 1
            self.events[user] += 1
            record = self._record(user, self._number)
            for _ in range(draw.randint(0, self._repetitions)):
                self._again.setdefault(user, deque()).append((self.events[user], record))
            yield record

    def _record(self, user: str, number: int) -> Pair:
        draw = self._draw
        item = draw.choice(ITEMS) if draw.random() < 0.95 else f"new-{draw.randrange(9)}"
        event = {
            "event_id": str(number),
            "user_id": user,
            "item_id": item,
            "action": draw.choice(ACTIONS),
            "event_time_ms": 10**12 + number * 1000 - draw.choice([0, 0, draw.randrange(self._disorder_ms)]),
        }
        return user.encode(), json.dumps(event).encode()


class Sender(threading.Thread):
    """Sends a load at a rate until it is told to end.

    Each partition has a task of its own, so that the others go on where a partition has no leader. The sender retries
    while the broker is down. Its producer is idempotent, so no record is lost or repeated.
    """

    def __init__(
        self, broker: str, topic: str, load: Load, rate: float, partitions: int, codec: str | None = "lz4"
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self.sent = 0  # records that were drawn; after `end`, all of them are confirmed
        self.partitions = partitions  # a new value holds for records that are not drawn yet
        self._broker, self._topic = broker, topic
        self._records = iter(load)
        self._delivered = load.delivered
        self._rate = rate
        self._codec = codec
        self._least = 0
        self._ended = threading.Event()
        self._has_drawn_all = False
        self._waiting: list[deque[Pair]] = []  # by partition, the records that are not confirmed
        self._error: BaseException | None = None

    def end(self, least: int = 0) -> None:
        """Wait until at least `least` records are sent and all are confirmed. Raises an error of the sender."""
        self._least = least
        self._ended.set()
        self.join()
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseExceptionGroup as group:
            self._error = group.exceptions[0]
        except BaseException as error:
            self._error = error

    async def _send_all(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._broker,
            enable_idempotence=True,
            compression_type=self._codec,
            max_batch_size=BATCH_BYTES,
        )
        await producer.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                began = time.monotonic()
                while not (self._ended.is_set() and self.sent >= self._least):
                    if len(self._waiting) < self.partitions:
                        await self._add_partitions(producer, tasks)
                    if sum(map(len, self._waiting)) < WAITING_RECORDS:
                        self._draw(min(SLICE, int((time.monotonic() - began) * self._rate) + 1 - self.sent))
                    await asyncio.sleep(TICK_S)
                self._has_drawn_all = True
        finally:
            await producer.stop()

    async def _add_partitions(self, producer: AIOKafkaProducer, tasks: asyncio.TaskGroup) -> None:
        """Wait until all that was drawn is confirmed, since users move to the new partitions, and send to those too."""
        while any(self._waiting):  # noqa: ASYNC110  each task empties its own, and no one event tells of all
            await asyncio.sleep(TICK_S)
        while len(await producer.partitions_for(self._topic)) < self.partitions:
            await producer.client.force_metadata_update()
        for partition in range(len(self._waiting), self.partitions):
            self._waiting.append(deque())
            tasks.create_task(self._send(producer, partition))

    def _draw(self, count: int) -> None:
        for key, value in islice(self._records, count):
            self._waiting[(murmur2(key) & 0x7FFFFFFF) % len(self._waiting)].append((key, value))
            self.sent += 1

    async def _send(self, producer: AIOKafkaProducer, partition: int) -> None:
        """Send what waits for this partition, one batch after the other, until all is drawn and confirmed."""
        waiting = self._waiting[partition]
        while waiting or not self._has_drawn_all:
            if not waiting:
                await asyncio.sleep(TICK_S)
                continue
            batch = producer.create_batch()
            for key, value in islice(waiting, SLICE):
                if batch.append(key=key, value=value, timestamp=None) is None:
                    break  # The batch is full.
            count = batch.record_count()
            if not count:
                raise ValueError(f"a record of {waiting[0]} does not fit into a batch of {BATCH_BYTES} bytes")
            while True:
                try:
                    confirmed = await producer.send_batch(batch, self._topic, partition=partition)
                    break
                except KafkaError:  # the broker is down and took nothing
                    await asyncio.sleep(0.2)
            metadata = await confirmed
            self._delivered.setdefault(partition, []).append(Delivery(metadata.offset + count, time.monotonic()))
            for _ in range(count):
                waiting.popleft()
