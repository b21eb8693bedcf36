"""Reads a foreign topic by a mapping, and writes its events to a topic of the event contract with the user as the key.

Guaranteed: the events of a record, or its dead letter, and the commit of the record's offset are one transaction of
Kafka. A reader of committed records sees each event once, also after a crash. The transactional id fences an earlier
process of the same two topics, so the command reads all partitions without a membership in the group. A membership
would read a partition twice where a rebalance reads the group's offset while a transaction is open. Ids come from the
mapping, so a record that the producer sends twice gives the same ids twice. Not guaranteed: the order of a user's
events whose records stand in several partitions of the source.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, MessageSizeTooLargeError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from encoder.data.contract.incoming_event import MAX_TEXT
from encoder.data.contract.quoting import quote
from encoder.data.contract.rejection import Rejection, is_unicode
from encoder.data.mapping import Mapping as EventMapping
from encoder.data.mapping import Skipped, SourceRecord
from encoder.data.mapping.proposals import Reading, judge_record
from streams.broker.clients import open_consumer, open_producer
from streams.broker.decoding.record_decoder import open_payload
from streams.broker.partitioners.rules import Rule
from streams.broker.topics import Topic, describe_topic
from streams.commands.map.sample import of_topic
from streams.commands.rekey.source import Source
from streams.config.errors import BrokerError
from streams.config.settings import Settings
from streams.contracts.dead_letters import dead_letter
from streams.health.rights.kafka_rights import dead_letter_topic, rekey_id

RECORDS = 5_000  # of one poll
EVENTS = 10_000  # of one transaction, which ends with the record that reaches the number. A commit takes milliseconds.
POLL_MS = 500
# Brokers forget a group's offsets and a transactional id after days without a commit. An idle process commits now and
# then, and so ends soon after another process has begun. Added partitions are found in the same rhythm.
CHECK_S = 30.0
MAX_RECORD_BYTES = 1024 * 1024  # Events and dead letters have bounds below, and Kafka's default takes them.
EPOCH = 0  # The ids of dead letters name an incarnation of the topic, and this command knows of one.
_encode = msgspec.json.encode

Sent = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]], int]  # topic, key, value, headers, partition


class Places(NamedTuple):
    """The numbers of partitions of the topics that are written."""

    target: int
    dead_letters: int


class Rekey:
    """Carries records from one topic to another. `counts` and `erasures` grow with each committed transaction."""

    def __init__(
        self, settings: Settings, source: str, target: str, mapping: EventMapping, rule: Rule, places: Places
    ) -> None:
        """rule: the partition of a key in the target, from the key and the number of partitions.

        Raises SettingsError and RegistryError for a schema registry.
        """
        self._settings = settings
        self._payload = open_payload(settings)
        self._source = source
        self._target = target
        self._mapping = mapping
        self._rule = rule
        self._places = places
        self._stop = asyncio.Event()
        self._reading = Source(settings, source, self._stop)
        self.counts = Reading()
        self.erasures = 0

    @property
    def group(self) -> str:
        """The consumer group, and the transactional id, so that a second process fences the first one."""
        return rekey_id(self._source, self._target)

    @property
    def dead_letters(self) -> str:
        """The topic of the records that the mapping rejects."""
        return dead_letter_topic(self._source)

    def stop(self) -> None:
        """End `run` after the transaction under way."""
        self._stop.set()

    async def run(self, follow: bool, caught_up: Callable[[], None] = lambda: None) -> None:
        """Carry all records up to the present end, or go on with new records until `stop`. Raises BrokerError.

        caught_up: called where the records up to the present end are carried, and new ones are waited for.
        """
        failure = f"rekey of {self._source} to {self._target} at {self._settings.broker}"
        options: dict[str, Any] = {"metadata_max_age_ms": int(CHECK_S * 1000)}
        async with open_producer(
            self._settings, failure, transactional_id=self.group, compression_type="lz4", **options
        ) as producer:
            # The start of the producer has ended an open transaction of an earlier process, so the offsets are final.
            topic = await asyncio.to_thread(describe_topic, self._settings, self._source, self.group)
            positions = self._reading.open(topic)
            if not follow and topic.lag == 0:
                return  # A stop right after an assignment would never return (aiokafka 0.14.0).
            async with open_consumer(self._settings, failure, auto_offset_reset="none", **options) as consumer:
                _assign(consumer, self._source, positions)
                with self._remedies(failure), contextlib.closing(self._reading):
                    await self._carry_on(producer, consumer, topic)
                    if follow and not self._stop.is_set():
                        caught_up()
                        await self._carry_on(producer, consumer, None)

    @contextlib.contextmanager
    def _remedies(self, failure: str) -> Iterator[None]:
        """Say what to do about errors of Kafka that an operator ends."""
        try:
            yield
        except ProducerFenced as error:
            raise BrokerError(
                f"{failure} ended: another `thalweg rekey` of these topics has begun, or a transaction took "
                "too long; run one process, which goes on behind the last transaction"
            ) from error
        except MessageSizeTooLargeError as error:
            raise BrokerError(
                f"{failure} ended: a record is larger than topic {self._target} or {self.dead_letters} takes; set "
                f"max.message.bytes of both topics to {MAX_RECORD_BYTES}, and start the command again"
            ) from error

    async def _carry_on(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, until: Topic | None) -> None:
        """until: the topic up to whose present end records are carried; None goes on until `stop`."""
        check_at_s = time.monotonic() + CHECK_S
        while True:  # A stop of the consumer right after an assignment would never return, so one poll comes first.
            batches = await self._reading.poll(consumer, POLL_MS, RECORDS)
            for events, offsets, counts in self.transactions(batches):
                await self._write(producer, events, offsets)
                self._count(events, counts)
                if self._stop.is_set():
                    return
            if self._stop.is_set():
                return
            if until is not None and await self._is_at(consumer, until.stable_offsets):
                return
            if time.monotonic() > check_at_s:
                await self._check(producer, consumer)
                check_at_s = time.monotonic() + CHECK_S

    async def _is_at(self, consumer: AIOKafkaConsumer, ends: Mapping[int, int]) -> bool:
        """Whether every partition is read up to its end."""
        return all(
            [await consumer.position(TopicPartition(self._source, partition)) >= end for partition, end in ends.items()]
        )

    async def _check(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        """Commit where the partitions are read, and take up added partitions of all three topics."""
        if not await self._reading.is_same():
            return
        held = {tp: await consumer.position(tp) for tp in consumer.assignment()}
        await self._write(producer, [], held)
        target, letters = [await producer.partitions_for(name) for name in (self._target, self.dead_letters)]
        self._places = Places(len(target), len(letters))
        present = consumer.partitions_for_topic(self._source) or set()
        added = present - {tp.partition for tp in held}
        if added:
            _assign(consumer, self._source, dict.fromkeys(added, 0) | {tp.partition: at for tp, at in held.items()})

    def transactions(
        self, batches: Mapping[TopicPartition, Sequence[Any]]
    ) -> Iterator[tuple[list[Sent], dict[TopicPartition, int], Reading]]:
        """What each transaction writes, the offsets behind it, and the counts of its records."""
        events: list[Sent] = []
        offsets: dict[TopicPartition, int] = {}
        counts = Reading()
        for tp, records in batches.items():
            for record, decoded in zip(records, of_topic(records, self._payload), strict=True):
                events += self.sent(record, decoded, counts)
                offsets[tp] = record.offset + 1
                if len(events) >= EVENTS:
                    yield events, offsets, counts
                    events, offsets, counts = [], {}, Reading()
        if offsets:
            yield events, offsets, counts

    async def _write(
        self, producer: AIOKafkaProducer, events: Sequence[Sent], offsets: Mapping[TopicPartition, int]
    ) -> None:
        """One transaction. A commit names the topic's id, so that it does not count for a topic that is made again."""
        for name, count in zip((self._target, self.dead_letters), self._places, strict=True):
            if len(await producer.partitions_for(name)) < count:
                raise BrokerError(f"topic {name} has fewer than {count} partitions now: start the command again")
        async with producer.transaction():
            await send_all(producer, events)
            commits = {tp: OffsetAndMetadata(offset, self._reading.topic_id) for tp, offset in offsets.items()}
            await producer.send_offsets_to_transaction(commits, self.group)

    def _count(self, events: Sequence[Sent], counts: Reading) -> None:
        self.counts.add(counts)
        self.erasures += sum(value is None for topic, _, value, _, _ in events if topic == self._target)

    def sent(self, record: Any, decoded: SourceRecord | Rejection, counts: Reading) -> list[Sent]:
        """What is written for a record (of aiokafka): its events, an erasure, a dead letter, or nothing.

        decoded: the record with its value decoded. counts: counts the record, unless it is an erasure.
        """
        user_id = self._mapping.erased_user(record.key) if record.value is None else None
        if user_id is None:
            judged = judge_record(self._mapping, decoded, counts)
            if isinstance(judged, Skipped):
                return []
            if not isinstance(judged, Rejection):
                return [self._keyed(event.user_id, _encode(event)) for event in judged]
            return [self._dead_letter(record, judged)]
        if len(user_id) <= MAX_TEXT and is_unicode(user_id):
            return [self._keyed(user_id, None)]
        wrong = Rejection(f"key is {quote(record.key)}: an erasure needs the user in the key", "key")
        counts.records += 1
        counts.add_rejected(wrong.reason)
        return [self._dead_letter(record, wrong)]

    def _dead_letter(self, record: Any, why: Rejection) -> Sent:
        letter = dead_letter(record, why.reason, why.field, EPOCH)
        place = record.partition % self._places.dead_letters  # the topic may have fewer partitions than the source
        return self.dead_letters, letter.key, letter.value, letter.headers, place

    def _keyed(self, user_id: str, value: bytes | None) -> Sent:
        key = user_id.encode()
        return self._target, key, value, [], self._rule(key, self._places.target)


async def send_all(producer: AIOKafkaProducer, events: Sequence[Sent]) -> None:
    """Send the records in their order, and wait until all are written."""
    answers: list[Any] = []
    try:
        for topic, key, value, headers, partition in events:
            answers.append(await producer.send(topic, value, key=key, headers=headers, partition=partition))
    except (AssertionError, IllegalOperation):
        # The broker has refused an earlier record, and so ended the transaction. The answer has the broker's error.
        await asyncio.gather(*answers)
        raise
    await asyncio.gather(*answers)


def _assign(consumer: AIOKafkaConsumer, topic: str, positions: Mapping[int, int]) -> None:
    """Read these partitions from these positions."""
    consumer.assign([TopicPartition(topic, partition) for partition in positions])
    for partition, offset in positions.items():
        consumer.seek(TopicPartition(topic, partition), offset)
