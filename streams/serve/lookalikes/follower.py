"""Follows the updates topics of the given bundles into the look-alike indexes, in a thread of its own.

The topics are compacted, so their records from the beginning give every user. Nothing is stored, and a restart reads
the topics again. Kafka may be away: the indexes stay as they are, and their age grows.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry, Gauge

from export.runtime.bundle import Bundle
from streams.broker.decoding.update_reader import UpdateReader
from streams.config.errors import ThalwegError
from streams.config.settings import Settings
from streams.contracts.representation_updates import decode_vector
from streams.serve.following import LOOK_EVERY_S, connected, keep_following
from streams.serve.lookalikes.index import LookalikeIndex

POLL_RECORDS = 2_000  # take about 10 ms of the interpreter
POLL_TIMEOUT_MS = 200
FETCH_WAIT_MS = 200  # the broker answers after this time at the latest, so the age of an idle index stays small
RETRY_S = 1.0
TOPICS_EVERY_S = 2.0  # between looks at which topics there are
REREAD_AFTER_MS = 3_600_000  # Kafka keeps a tombstone for at least delete.retention.ms, which is a day by default
ENDS_WITHIN_S = 3.0  # after the stop; a client of Kafka that takes longer is left alone


class LookalikeFollower:
    """The look-alike indexes of the given bundles, by bundle id, and how old they are."""

    def __init__(self, settings: Settings, bundles: Sequence[Bundle], topic_of: Callable[[str], str]) -> None:
        """topic_of: the updates topic of a bundle id. Blocks, and may raise a ThalwegError."""
        self.indexes = {one.bundle_id: LookalikeIndex(one.scoring_width) for one in bundles}
        self.records_behind = 0
        self._vector_bytes = {one.bundle_id: 4 * one.manifest.representation_width for one in bundles}
        self._settings = settings
        self._topic_of = topic_of
        self._complete_at_ms: int | None = None
        self._is_read = False  # whether the topic was read to its end since the last beginning
        self._updates = UpdateReader(settings)
        self._stop = threading.Event()

    @property
    def age_ms(self) -> int | None:
        """The time since the indexes had every committed update of the topics. None: they never had."""
        at_ms = self._complete_at_ms
        return None if at_ms is None else max(0, int(time.time() * 1000) - at_ms)

    def register(self, registry: CollectorRegistry) -> None:
        """Show the size and the age of the indexes among these metrics."""
        shown: dict[str, tuple[str, Callable[[], float]]] = {
            "users": ("Users in the look-alike indexes", lambda: sum(map(len, self.indexes.values()))),
            "records_behind": ("Updates that the look-alike indexes have not read", lambda: self.records_behind),
            "age_seconds": (
                "Time since the look-alike indexes had every update, not a number before the first time",
                lambda: math.nan if self.age_ms is None else self.age_ms / 1000,
            ),
        }
        for name, (meaning, value) in shown.items():
            Gauge(f"thalweg_api_lookalike_{name}", meaning, registry=registry).set_function(value)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the topic inside the block."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="lookalikes", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            await asyncio.to_thread(thread.join, ENDS_WITHIN_S)  # The event loop goes on with other requests.

    def apply(self, records: Sequence[Any]) -> None:
        """Apply records of the topic, in their order. Records of other bundles, and of no worker, are left out.

        Earlier versions wrote updates under the user id alone. These updates are left out too, until the user's next
        event writes an update under the present key.
        """
        put: dict[str, tuple[list[str], list[Any]]] = {bundle_id: ([], []) for bundle_id in self.indexes}
        for record in records:
            bundle_id, _, user = (record.key or b"").partition(b"/")
            index = self.indexes.get(name := bundle_id.decode("utf-8", "replace"))
            if index is None:
                continue
            user_ids, vectors = put[name]
            if record.value is None:
                self._put(index, user_ids, vectors)  # the order of a user's update and erasure counts
                index.remove(user.decode("utf-8", "replace"))  # another program may have written any bytes
                continue
            try:
                update = self._updates.decode(record.value)
            except ValueError:
                continue
            if len(update.representation) == self._vector_bytes[name]:
                user_ids.append(update.user_id)
                vectors.append(decode_vector(update.representation))
        for name, (user_ids, vectors) in put.items():
            self._put(self.indexes[name], user_ids, vectors)

    @staticmethod
    def _put(index: LookalikeIndex, user_ids: list[str], vectors: list[Any]) -> None:
        if user_ids:
            index.put(user_ids, np.stack(vectors))
            user_ids.clear()
            vectors.clear()

    async def _run(self) -> None:
        """Follow until the stop. After an error, the topic is read from its beginning again, over what is there."""
        following = asyncio.create_task(
            keep_following(self._follow, "the look-alike index cannot be followed", RETRY_S)
        )
        await asyncio.to_thread(self._stop.wait)
        following.cancel()
        await asyncio.wait([following])

    async def _follow(self) -> None:
        async with connected(self._settings, "of updates", fetch_max_wait_ms=FETCH_WAIT_MS) as consumer:
            topics = await self._topics(consumer)
            while not topics:  # the first worker creates the topic
                await asyncio.sleep(LOOK_EVERY_S)
                topics = await self._topics(consumer)
            consumer.subscribe(sorted(topics))
            looked_s = time.monotonic()
            self._begin_reading()
            while True:
                fetched = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS)
                for records in fetched.values():
                    await self._updates.prepare(records)
                    self.apply(records)
                await self._look(consumer)
                await asyncio.sleep(0)  # A fetch that is there already gives no other task a turn, so none to the stop.
                if time.monotonic() - looked_s > TOPICS_EVERY_S:
                    looked_s = time.monotonic()
                    if await self._topics(consumer, topics) != topics:
                        return  # The next following reads the topics that there are now.

    async def _topics(self, consumer: AIOKafkaConsumer, known: Collection[str] = ()) -> set[str]:
        """The topics of the bundles' updates that exist. known: the answer while Cassandra does not tell the topics.

        A bundle that no worker has served yet gets its topic from its first worker.
        """
        try:
            wanted = {await asyncio.to_thread(self._topic_of, bundle_id) for bundle_id in self.indexes}
        except ThalwegError:
            if not known:
                raise
            return set(known)
        return wanted & set(await consumer.topics())

    def _begin_reading(self) -> None:
        for index in self.indexes.values():
            index.begin_reading()
        self._is_read = False

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """See how far the indexes are. A partition that the broker has not answered for yet is not read to its end.

        After REREAD_AFTER_MS without every update, the topic is read from its beginning again, because compaction may
        have deleted tombstones meanwhile.
        """
        behind, answered_ms = 0, []
        for partition in consumer.assignment():
            at_ms, end = consumer.last_poll_timestamp(partition), consumer.last_stable_offset(partition)
            if at_ms is None or end is None:
                return
            answered_ms.append(at_ms)
            behind += max(0, end - await consumer.position(partition))
        self.records_behind = behind
        if not behind and answered_ms:
            before_ms, self._complete_at_ms = self._complete_at_ms, min(answered_ms)
            if self._is_read and before_ms is not None and self._complete_at_ms - before_ms > REREAD_AFTER_MS:
                self._begin_reading()
                await consumer.seek_to_beginning()
                return
            if not self._is_read:
                self._is_read = True
                for index in self.indexes.values():
                    index.end_reading()
