"""Kafka as the referee sees it: topics, producers, committed records and committed offsets."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

import aiokafka
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.structs import OffsetAndMetadata

from tests.referee.records import Event, Position, Rule, Sent

ADMIN_LIMIT_S = 30.0
POLL_MS = 200
TRANSACTION_LIMIT_MS = 600_000  # longer than any scenario: the broker aborts a transaction that stays open for longer


class Broker:
    """Administration of topics and groups, and reading of whole topics."""

    def __init__(self, address: str) -> None:
        self.address = address

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic. While the broker still deletes a topic of this name, try again."""
        options = {topic: {"num_partitions": partitions, "replication_factor": 1}}
        with self._admin() as admin:
            _until(lambda: admin.create_topics(options), TopicAlreadyExistsError)
            _until(lambda: _require(len(self._partitions(admin, topic)) == partitions), KafkaError, NotYetError)

    def delete(self, topic: str) -> None:
        with self._admin() as admin:
            admin.delete_topics([topic])
            _until(lambda: _require(topic not in admin.list_topics()), NotYetError)

    def grow(self, topic: str, partitions: int) -> None:
        with self._admin() as admin:
            admin.create_partitions({topic: partitions})
            _until(lambda: _require(len(self._partitions(admin, topic)) == partitions), NotYetError)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """By partition, the next offset that the group reads. Partitions without a commit are left out."""
        with self._admin() as admin:
            try:
                partitions = [TopicPartition(topic, number) for number in self._partitions(admin, topic)]
                offsets = admin.list_group_offsets({group: partitions})[group]
            except KafkaError:  # A new broker refuses the first request for a group.
                return {}
        return {at.partition: offset.offset for at, offset in offsets.items() if offset.offset >= 0}

    def set_committed(self, group: str, topic: str, offset: int) -> None:
        """Set the group to this offset in every partition. No worker of the group may run."""
        with self._admin() as admin:
            partitions = [TopicPartition(topic, number) for number in self._partitions(admin, topic)]
            answers = admin.alter_group_offsets(group, {at: OffsetAndMetadata(offset, "", -1) for at in partitions})
        refused = {at.partition: error for at, error in answers.items() if getattr(error, "errno", 0)}
        if refused:
            raise RuntimeError(f"group {group} was not set to offset {offset}: {refused}")

    def read(self, topic: str) -> list[Any]:
        """Every committed record of the topic, by partition and offset. A topic that is missing has no record."""
        with self._admin() as admin:
            try:
                partitions = [TopicPartition(topic, number) for number in self._partitions(admin, topic)]
            except UnknownTopicOrPartitionError:
                return []
            starts = self._offsets(admin, partitions, OffsetSpec.EARLIEST)
            ends = self._offsets(admin, partitions, OffsetSpec.LATEST)
        spans = [(at.partition, starts[at], ends[at]) for at in partitions if starts[at] < ends[at]]
        return asyncio.run(self._read(topic, spans)) if spans else []

    async def _read(self, topic: str, spans: list[tuple[int, int, int]]) -> list[Any]:
        """spans: partition, first offset, and the offset behind the last one."""
        # kafka-python lacks the compression codecs of the product's outputs, so aiokafka reads. A consumer of aiokafka
        # that has no partition cannot be stopped, so there is at least one span.
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=self.address, isolation_level="read_committed", enable_auto_commit=False
        )
        await consumer.start()
        found: list[Any] = []
        try:
            for partition, start, end in spans:
                at = aiokafka.TopicPartition(topic, partition)
                consumer.assign([at])
                consumer.seek(at, start)
                while await consumer.position(at) < end:
                    found += (await consumer.getmany(at, timeout_ms=POLL_MS)).get(at, [])
        finally:
            await consumer.stop()
        return found

    @staticmethod
    def _offsets(admin: Any, partitions: list[TopicPartition], which: OffsetSpec) -> dict[TopicPartition, int]:
        """Offsets as a reader of committed records sees them: an open transaction is behind the end."""
        answers = admin.list_partition_offsets(dict.fromkeys(partitions, which), isolation_level="read_committed")
        return {at: answer.offset for at, answer in answers.items()}

    @contextlib.contextmanager
    def _admin(self) -> Iterator[Any]:
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        try:
            yield admin
        finally:
            admin.close()

    @staticmethod
    def _partitions(admin: Any, topic: str) -> list[int]:
        if topic not in admin.list_topics():
            raise UnknownTopicOrPartitionError(topic)
        [described] = admin.describe_topics([topic])
        return [part["partition_index"] for part in described["partitions"]]


class Producer:
    """Sends records to explicit partitions and notes each confirmed record. Use as a context manager.

    With a transactional id, records count as sent only after `commit`.
    """

    def __init__(
        self, broker: Broker, topic: str, incarnation: int, partitions: int, rule: Rule, transactional_id: str | None
    ) -> None:
        options = (
            {}
            if transactional_id is None
            else {"transactional_id": transactional_id, "transaction_timeout_ms": TRANSACTION_LIMIT_MS}
        )
        self._client = KafkaProducer(bootstrap_servers=broker.address, acks="all", linger_ms=5, **options)
        self._topic = topic
        self._incarnation = incarnation
        self._partitions = partitions
        self._rule = rule
        self.confirmed: list[Sent] = []
        self._pending: list[Sent] = []  # records of an open transaction
        self._is_transactional = transactional_id is not None
        if self._is_transactional:
            self._client.init_transactions()

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def send(self, records: Iterable[tuple[str, Event | None]], partition: int | None = None) -> list[Sent]:
        """Send records of (user, event or None for an erasure), and wait until the broker has confirmed all."""
        answers = []
        for user_id, event in records:
            key = user_id.encode()
            where = self._rule(key, self._partitions) if partition is None else partition
            value = None if event is None else json.dumps(event).encode()
            answers.append((self._client.send(self._topic, value=value, key=key, partition=where), user_id, event))
        self._client.flush()
        sent = []
        for answer, user_id, event in answers:
            at = answer.get(timeout=ADMIN_LIMIT_S)
            sent.append(Sent(Position(self._incarnation, at.partition, at.offset), user_id, event))
        if self._is_transactional:
            self._pending += sent
        else:
            self.confirmed += sent
        return sent

    def begin(self) -> None:
        self._client.begin_transaction()

    def commit(self) -> None:
        self._client.commit_transaction()
        self.confirmed += self._pending
        self._pending = []

    def abort(self) -> None:
        self._client.abort_transaction()
        self._pending = []


class NotYetError(Exception):
    """A condition does not hold yet."""


def _require(holds: bool) -> None:
    if not holds:
        raise NotYetError


def _until(attempt: Any, *errors: type[Exception]) -> None:
    """Try until the attempt raises none of these errors. Raises the error after ADMIN_LIMIT_S."""
    deadline = time.monotonic() + ADMIN_LIMIT_S
    while True:
        try:
            attempt()
            return
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
