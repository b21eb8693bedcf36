"""A user's state from the topic, where the stored row is damaged."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Any

from aiokafka import TopicPartition

from export.runtime.bundle import Bundle
from streams.broker.clients import open_consumer
from streams.broker.topic_reader import POLL_RECORDS, read_partition
from streams.config.settings import Settings
from streams.engine.arena import NO_OFFSET, Arena, StoredUser
from streams.engine.codec import RecordDecoder, decode_records_of
from streams.engine.planning.candidates import Part
from streams.engine.processor import Graphs, Processor
from streams.health.metrics import WorkerMetrics

logger = logging.getLogger(__name__)

FROM_ARCHIVE = "stop the workers, and run `thalweg verify --archive ARCHIVE --repair` with the archive of this log"


class Rebuilder:
    """Steps users again over the records of a partition, from the partition's beginning."""

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        graphs: Graphs,
        metrics: WorkerMetrics,
        decoder: RecordDecoder,
        log_id: str | None = None,
    ) -> None:
        """log_id: of the log with which the bundle's history begins. The topic does not have its events."""
        self._settings = settings
        self._bundle = bundle
        self._graphs = graphs
        self._metrics = metrics
        self._decoder = decoder
        self._log_id = log_id

    async def rebuild(self, partition: int, user_ids: Sequence[str], end: int) -> list[StoredUser]:
        """States of these users after the records before offset `end`. Users without such records are left out.

        Where retention has deleted a user's first records, the state begins with the records that are left, and the log
        says so. The whole partition is read, which takes seconds for a million records. Raises BrokerError.
        """
        topic = self._settings.behavior_topic
        arena = Arena(len(user_ids), self._bundle.manifest.state_width, self._bundle.manifest.representation_width)
        processor = Processor(self._bundle, self._graphs, arena, user_ttl_ms=self._settings.user_ttl_ms)
        wanted = frozenset(user_ids)
        failure = f"partition {partition} of {topic} could not be read again"
        async with open_consumer(self._settings, failure, max_poll_records=POLL_RECORDS) as consumer:
            start = next(iter((await consumer.beginning_offsets([TopicPartition(topic, partition)])).values()))
            sequence = 0
            async for batch in read_partition(consumer, topic, partition, start, end):
                sequence += 1
                self._metrics.rebuild_records += len(batch)  # The watchdog takes these records for progress.
                await asyncio.to_thread(self._step, processor, partition, batch, wanted, sequence)
        rebuilt = [_stored_user(arena, user_id, slot) for user_id, slot in arena.users()]
        for user in rebuilt:
            logger.warning(
                "user %r is rebuilt from %d events of partition %d%s%s",
                user.user_id,
                user.steps,
                partition,
                f", whose first record is {start}: events before it are gone" if start else "",
                "" if self._log_id is None else f", without the events of log {self._log_id}: {FROM_ARCHIVE}",
            )
        return rebuilt

    def _step(
        self, processor: Processor, partition: int, batch: list[Any], user_ids: Collection[str], sequence: int
    ) -> None:
        records, outcomes = decode_records_of(self._decoder, batch, user_ids)
        processor.process([Part(partition, records, outcomes)], sequence, evaluate=False)


def _stored_user(arena: Arena, user_id: str, slot: int) -> StoredUser:
    assert int(arena.offset[slot]) > NO_OFFSET, "every user in this arena was stepped"
    return StoredUser(
        user_id=user_id,
        partition=int(arena.partition[slot]),
        offset=int(arena.offset[slot]),
        steps=int(arena.steps[slot]),
        last_time_ms=int(arena.last_time_ms[slot]),
        last_item=arena.last_item[slot],
        last_record_ms=int(arena.last_record_ms[slot]),
        recent=[digest for digest in arena.recent[slot].tolist() if digest],
        state=arena.state[slot].copy(),
        representation=arena.representation[slot].copy(),
    )
