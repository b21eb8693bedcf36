"""Reads a foreign topic by a mapping, and writes its events to a topic of the event contract with the user as the key.

Guaranteed: the events of a record, or its dead letter, and the commit of the record's offset are one transaction of
Kafka. A reader of committed records sees each event once, also after a crash. Ids come from the mapping, so a record
that the producer sends twice gives the same ids twice. Not guaranteed: the order of a user's events whose records stand
in several partitions of the source.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from encoder.data.contract.incoming_event import MAX_TEXT
from encoder.data.contract.quoting import quote
from encoder.data.contract.rejection import Rejection, is_unicode
from encoder.data.mapping import Mapping, Skipped, SourceRecord
from encoder.data.mapping.proposals import Reading, judge_record
from streams.broker.clients import open_consumer, open_producer
from streams.broker.decoding.record_decoder import open_payload
from streams.broker.topics import describe_topic
from streams.commands.map.sample import of_topic
from streams.config.settings import Settings
from streams.contracts.dead_letters import dead_letter

RECORDS = 5_000  # of one transaction, whose commit costs some milliseconds
POLL_MS = 500
EPOCH = 0  # The ids of dead letters name an incarnation of the topic, and this command knows of one.
_encode = msgspec.json.encode

Sent = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]], int]  # topic, key, value, headers, partition


class Rekey:
    """Carries records from one topic to another. `counts` grows while the records are carried."""

    def __init__(
        self, settings: Settings, source: str, target: str, mapping: Mapping, partition_of: Callable[[bytes], int]
    ) -> None:
        """partition_of: the partition of a key in the target.

        Raises SettingsError and RegistryError for a schema registry.
        """
        self._settings = settings
        self._payload = open_payload(settings)
        self._source = source
        self._target = target
        self._mapping = mapping
        self._partition_of = partition_of
        self.counts = Reading()
        self.erasures = 0

    @property
    def group(self) -> str:
        """The consumer group, and the transactional id, so that a second process fences the first one."""
        return f"thalweg-rekey-{self._source}-{self._target}"

    @property
    def dead_letters(self) -> str:
        """The topic of the records that the mapping rejects."""
        return dead_letter_topic(self._source)

    async def run(self, follow: bool) -> None:
        """Carry all records up to the present end, or go on with new records. Raises BrokerError."""
        ends = (await asyncio.to_thread(describe_topic, self._settings, self._source)).stable_offsets
        failure = f"rekey of {self._source} to {self._target} at {self._settings.broker}"
        producer_options = {"transactional_id": self.group, "compression_type": "lz4"}
        async with (
            open_producer(self._settings, failure, **producer_options) as producer,
            open_consumer(self._settings, failure, group_id=self.group) as consumer,
        ):
            consumer.subscribe([self._source])
            while follow or not await self._is_at(consumer, ends):
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS)
                if batches:
                    await self._carry(producer, batches)

    async def _is_at(self, consumer: AIOKafkaConsumer, ends: dict[int, int]) -> bool:
        """Whether every partition is read up to its end. A consumer that has not joined its group has no position."""
        held = {tp.partition for tp in consumer.assignment()}
        if not held.issuperset(ends):
            return False
        return all(
            [await consumer.position(TopicPartition(self._source, partition)) >= end for partition, end in ends.items()]
        )

    async def _carry(self, producer: AIOKafkaProducer, batches: dict[TopicPartition, Sequence[Any]]) -> None:
        async with producer.transaction():
            answers = [
                await producer.send(topic, value, key=key, headers=headers, partition=partition)
                for records in batches.values()
                for record, decoded in zip(records, of_topic(records, self._payload), strict=True)
                for topic, key, value, headers, partition in self.sent(record, decoded)
            ]
            await asyncio.gather(*answers)
            offsets = {tp: records[-1].offset + 1 for tp, records in batches.items()}
            await producer.send_offsets_to_transaction(offsets, self.group)

    def sent(self, record: Any, decoded: SourceRecord | Rejection) -> list[Sent]:
        """What is written for a record (of aiokafka): its events, an erasure, a dead letter, or nothing.

        decoded: the record with its value decoded.
        """
        user_id = self._mapping.erased_user(record.key) if record.value is None else None
        if user_id is None:
            judged = judge_record(self._mapping, decoded, self.counts)
            if isinstance(judged, Skipped):
                return []
            if not isinstance(judged, Rejection):
                return [self._keyed(event.user_id, _encode(event)) for event in judged]
            return [self._dead_letter(record, judged)]
        if len(user_id) <= MAX_TEXT and is_unicode(user_id):
            self.erasures += 1
            return [self._keyed(user_id, None)]
        wrong = Rejection(f"key is {quote(record.key)}: an erasure needs the user in the key", "key")
        self.counts.records += 1
        self.counts.add_rejected(wrong.reason)
        return [self._dead_letter(record, wrong)]

    def _dead_letter(self, record: Any, why: Rejection) -> Sent:
        letter = dead_letter(record, why.reason, why.field, EPOCH)
        return self.dead_letters, letter.key, letter.value, letter.headers, record.partition

    def _keyed(self, user_id: str, value: bytes | None) -> Sent:
        key = user_id.encode()
        return self._target, key, value, [], self._partition_of(key)


def dead_letter_topic(source: str) -> str:
    """The dead-letter topic of a source."""
    return f"{source}.dlq"
