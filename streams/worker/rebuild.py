"""A user's state from the topic, where the stored one cannot be used."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from export.runtime.bundle import Bundle
from streams.broker.topic_reader import POLL_RECORDS, read_partition
from streams.config.errors import BrokerError
from streams.config.security import broker_arguments
from streams.config.settings import Settings
from streams.engine.arena import NO_OFFSET, Arena, StoredUser
from streams.engine.codec import Rejected, decode_batch
from streams.engine.planning.plan import Part
from streams.engine.processor import Graphs, Processor
from streams.health.metrics import Measures

logger = logging.getLogger(__name__)


class Rebuilder:
    """Steps users again over the records of a partition, from its beginning."""

    def __init__(self, settings: Settings, bundle: Bundle, graphs: Graphs, measures: Measures) -> None:
        self._settings = settings
        self._bundle = bundle
        self._graphs = graphs
        self._measures = measures

    async def rebuild(self, partition: int, user_ids: Sequence[str], end: int) -> list[StoredUser]:
        """States of these users after the records before offset `end`; users without any are left out.

        Where retention has deleted a user's first records, its state begins with what is left; the log says so.
        The whole partition is read (a few seconds for a million records). Raises BrokerError.
        """
        manifest, topic = self._bundle.manifest, self._settings.behavior_topic
        arena = Arena(len(user_ids), manifest.state_width, manifest.representation_width)
        processor = Processor(self._bundle, self._graphs, arena)
        keys = {user_id.encode() for user_id in user_ids}
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # retention may move the start meanwhile
            max_poll_records=POLL_RECORDS,
            **broker_arguments(self._settings),
        )
        start, sequence = 0, 0
        try:
            await consumer.start()
            start = next(iter((await consumer.beginning_offsets([TopicPartition(topic, partition)])).values()))
            async for batch in read_partition(consumer, topic, partition, start, end):
                sequence += 1
                self._measures.rebuild_records += len(batch)  # a long partition is progress for the watchdog
                records = [record for record in batch if record.key in keys]
                await asyncio.to_thread(_step, processor, partition, records, sequence)
        except KafkaError as error:
            raise BrokerError(f"partition {partition} of {topic} could not be read again: {error!r}") from error
        finally:
            await consumer.stop()
        rebuilt = [_stored(arena, user_id, slot) for user_id, slot in arena.users()]
        for user in rebuilt:
            logger.warning(
                "user %r is rebuilt from %d events of partition %d%s",
                user.user_id,
                user.steps,
                partition,
                f", whose first record is {start}: events before it are gone" if start else "",
            )
        return rebuilt


def _step(processor: Processor, partition: int, records: list[Any], sequence: int) -> None:
    outcomes = [(r, o) for r, o in zip(records, decode_batch(records), strict=True) if not isinstance(o, Rejected)]
    part = Part(partition, [r for r, _ in outcomes], [o for _, o in outcomes])
    processor.process([part], sequence, evaluate=False)


def _stored(arena: Arena, user_id: str, slot: int) -> StoredUser:
    assert int(arena.offset[slot]) > NO_OFFSET, "it was stepped"
    return StoredUser(
        user_id=user_id,
        partition=int(arena.partition[slot]),
        offset=int(arena.offset[slot]),
        steps=int(arena.steps[slot]),
        last_time_ms=int(arena.last_time_ms[slot]),
        last_item=arena.last_item[slot],
        recent=[digest for digest in arena.recent[slot].tolist() if digest],
        state=arena.state[slot].copy(),
        representation=arena.representation[slot].copy(),
    )
