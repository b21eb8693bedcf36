"""Forgets users who stay away longer than their rows are kept: in memory, and by null values in the updates topic.

Cassandra forgets a row by itself (`row_ttl_s` in `streams/store/cql_schema.py`). The updates topic keeps the last
update of a key for ever, so the owner of a partition looks through the partition from time to time. An update that is
older than the longest life of a row belongs to no row any more, unless the row was written without an end. A second
sweep finds a null value there, and sends nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.broker.clients import open_consumer
from streams.broker.publisher import Publisher
from streams.broker.topic_reader import POLL_RECORDS, read_partition
from streams.broker.topics import describe_topic
from streams.config.errors import BrokerError, ThalwegError
from streams.config.settings import Settings
from streams.contracts.representation_updates import update_keys
from streams.engine.arena import StoredUser
from streams.engine.carried_headers import NO_HEADERS
from streams.store.user_rows import DamagedRow

logger = logging.getLogger(__name__)

SWEEP_EVERY_S = 6 * 3600.0
LOOK_EVERY_S = 1.0  # whether partitions are assigned, and whether the worker stops
# Cassandra counts from its clock at the write, the update has the worker's clock some time later, and clocks differ.
LEEWAY_MS = 3_600_000
USERS_AT_ONCE = 1_000  # batches wait while the null values of so many users are confirmed


class Memory(Protocol):
    """The part of `Residency` that a sweep calls."""

    def without(
        self, user_ids: Sequence[str], last_record_before_ms: int
    ) -> AbstractAsyncContextManager[list[str]]: ...


class StoredRows(Protocol):
    """The part of `UserRows` that a sweep calls."""

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser | DamagedRow]: ...


class Sweep:
    """The sweeps of one worker."""

    def __init__(
        self,
        settings: Settings,
        bundle_id: str,
        row_ttl_s: int,
        owned: Callable[[], Sequence[int]],
        memory: Memory,
        rows: StoredRows,
        publisher: Publisher,
        should_stop: Callable[[], bool],
    ) -> None:
        """owned: the partitions that this worker owns now."""
        self._settings = settings
        self._bundle_id = bundle_id
        self._row_ttl_ms = row_ttl_s * 1000
        self._owned = owned
        self._memory = memory
        self._rows = rows
        self._publisher = publisher
        self._should_stop = should_stop
        self._swept_s: dict[int, float] = {}  # by partition, when the last sweep ended

    async def run(self) -> None:
        """Sweep each partition soon after its assignment, and then from time to time, until the worker stops."""
        while not self._should_stop():
            await asyncio.sleep(LOOK_EVERY_S)
            owned = self._owned()
            self._swept_s = {p: at_s for p, at_s in self._swept_s.items() if p in owned}
            due_s = time.monotonic() - SWEEP_EVERY_S
            for partition in [p for p in owned if self._swept_s.get(p, due_s) <= due_s]:
                try:
                    await self.sweep(partition, int(time.time() * 1000) - self._row_ttl_ms - LEEWAY_MS)
                except ThalwegError as error:  # The next sweep sends what is missing.
                    logger.warning("users who stay away are forgotten later: %s", error)
                self._swept_s[partition] = time.monotonic()

    async def sweep(self, partition: int, before_ms: int) -> int:
        """Forget the users of a partition whose last update is older. Returns the number of null values that were sent.

        before_ms: milliseconds since 1970. Raises StoreError. Raises BrokerError, also where the partition has another
        owner by now.
        """
        found = await asyncio.to_thread(lambda: asyncio.run(self._absent(partition, before_ms)))
        sent = 0
        for start in range(0, max(1, len(found)), USERS_AT_ONCE):
            async with self._memory.without(found[start : start + USERS_AT_ONCE], before_ms) as users:
                sent += await self._delete_updates(partition, users)
        if sent:
            logger.info("%d users of partition %d stay away, and their updates are deleted", sent, partition)
        return sent

    async def _delete_updates(self, partition: int, users: Sequence[str]) -> int:
        """Send a null value for each of these users who has no row. A row without an end keeps its update."""
        stored = {row.user_id for row in await self._rows.read(users)}
        keys = update_keys(self._bundle_id, [user for user in users if user not in stored])
        if keys:
            await self._send(partition, [(key, None, NO_HEADERS) for key in keys])
        return len(keys)

    async def _send(self, partition: int, tombstones: list[Any]) -> None:
        try:
            await self._publisher.update({partition: tombstones})
        except asyncio.CancelledError:  # A rebalance ends the transactions of the partition.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise BrokerError(f"partition {partition} changed hands during the sweep") from None

    async def _absent(self, partition: int, before_ms: int) -> list[str]:
        """The users of this bundle whose last update in the partition is older. Runs in a thread of its own."""
        name = self._settings.updates_topic
        topic = await asyncio.to_thread(describe_topic, self._settings, name)
        at, start = TopicPartition(name, partition), topic.start_offsets[partition]
        if start >= topic.stable_offsets[partition]:
            return []
        async with open_consumer(self._settings, f"topic {name} could not be read", max_poll_records=POLL_RECORDS) as c:
            # Records come in the order of the workers' clocks, so most sweeps end here.
            later = (await c.offsets_for_times({at: before_ms}))[at]
            if later is not None and later.offset <= start:
                return []
            return await self._read(c, at, (start, topic.stable_offsets[partition]), before_ms)

    async def _read(
        self, consumer: AIOKafkaConsumer, at: TopicPartition, between: tuple[int, int], before_ms: int
    ) -> list[str]:
        prefix = f"{self._bundle_id}/".encode()
        absent: set[bytes] = set()
        async for records in read_partition(consumer, at.topic, at.partition, *between):
            for record in records:
                if record.key is None or not record.key.startswith(prefix):
                    continue
                if record.value is not None and record.timestamp < before_ms:
                    absent.add(record.key)
                else:
                    absent.discard(record.key)
            if self._should_stop():
                return []
        return [key[len(prefix) :].decode("utf-8", "replace") for key in sorted(absent)]
