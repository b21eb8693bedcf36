"""Outputs of a micro-batch to Kafka, as whole record batches, confirmed.

What is guaranteed: `publish` and `update` return after every output is acknowledged by all in-sync replicas. What is
not: an output may be in its topic twice (a crash before it was committed, then a replay); ids are the same then.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.broker.topics import NO_BROKER_REMEDY
from streams.broker.updates import TRANSACTION_TIMEOUT_MS, Pair, Updates
from streams.config.errors import BrokerError
from streams.config.security import broker_arguments
from streams.config.settings import Settings
from streams.contracts.dead_letters import dead_letter, erasure_marker
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.fields import record_id
from streams.contracts.representation_updates import RepresentationUpdate, encode_vector
from streams.engine.foresight import SCORES
from streams.engine.processor import Result
from streams.engine.state_cell import cells

# An evaluation event has about 300 bytes; a request of this size is half of what a broker takes as it comes (1 MB).
BATCH_BYTES = 512 * 1024
REQUEST_TIMEOUT_S = 30.0
# Of 465 KB of evaluation events snappy makes 106 KB in 0.5 ms; lz4, at the level that the client sets, 83 KB in 5.4 ms.
COMPRESSION = "snappy"
# The client itself never gives up on a batch of an idempotent producer. A broker that restarts is back well within
# this; after it the worker ends, and whatever runs it starts it again.
CONFIRM_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0

Output = tuple[int, bytes | None, bytes | None]  # partition, key and value


class Encoded(NamedTuple):
    """Outputs of a micro-batch, ready to be sent."""

    evaluations: list[tuple[int, Any]]  # partition and record batch
    updates: dict[int, list[Pair]]  # by partition


class Publisher:
    """An idempotent producer for events, dead letters and erasure markers, transactional ones for updates."""

    def __init__(self, settings: Settings, group: str, bundle_id: str, catalogue: int) -> None:
        self._settings = settings
        self._bundle_id = bundle_id
        self._catalogue = catalogue
        self._encoder = msgspec.json.Encoder()
        self._producer: AIOKafkaProducer | None = None
        self._updates = Updates(settings.updates_topic, group, self._make_producer)

    def _make_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **broker_arguments(self._settings),
            acks="all",
            enable_idempotence=True,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            compression_type=COMPRESSION,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )

    async def start(self) -> None:
        """Connect. Raises BrokerError."""
        self._producer = self._make_producer()
        try:
            await self._producer.start()
        except KafkaError as error:
            raise BrokerError(f"no broker answers at {self._settings.broker}: {error}; {NO_BROKER_REMEDY}") from error

    async def own(self, partitions: Iterable[int]) -> None:
        """Publish updates of these partitions from now on, and nobody else. Raises BrokerError."""
        assert self._producer is not None, "started"
        client = self._producer.client
        known = client.cluster.partitions_for_topic(self._settings.evaluation_topic) or ()
        if not set(partitions) <= set(known):  # some were added
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.force_metadata_update(), REQUEST_TIMEOUT_S)
        await self._updates.own(partitions)

    async def stop(self) -> None:
        await self._updates.stop()
        if self._producer is not None:
            with contextlib.suppress(TimeoutError):  # what is not confirmed by now is published again by a replay
                await asyncio.wait_for(self._producer.stop(), STOP_TIMEOUT_S)

    def encode(self, result: Result) -> Encoded:
        """What `publish` and `update` send of a scored micro-batch. On any thread."""
        updates: defaultdict[int, list[Pair]] = defaultdict(list)
        for partition, key, value in self.updates(result):
            updates[partition].append((key, value))
        return Encoded(self._batches(self.evaluations(result)), updates)

    async def publish(self, evaluations: list[tuple[int, Any]], result: Result) -> None:
        """Send evaluation events and the result's dead letters and await each confirmation. Raises BrokerError."""
        assert self._producer is not None, "started"
        topic = self._settings.evaluation_topic
        try:
            futures = [await self._producer.send_batch(batch, topic, partition=p) for p, batch in evaluations]
            futures += await self._send_dead_letters(result)
            async with self._limit():
                await asyncio.gather(*futures)
        except KafkaError as error:
            raise BrokerError(f"outputs were not confirmed: {error!r}") from error

    async def update(self, updates: dict[int, list[Pair]]) -> None:
        """Publish stored rows, confirmed. Raises BrokerError."""
        async with self._limit():
            await asyncio.gather(*(self._updates.publish(*of_partition) for of_partition in updates.items()))

    def evaluations(self, result: Result) -> Iterator[Output]:
        """An evaluation event for every event that was scored, in order."""
        columns, at, topic = result.columns, result.evaluated, self._settings.behavior_topic
        events = columns.event if len(at) == len(columns.event) else [columns.event[i] for i in at.tolist()]
        partitions = columns.partition[at].tolist()
        prefix = {partition: record_id(topic, partition, 0)[:-1] for partition in set(partitions)}
        offsets, gaps = columns.offset[at].tolist(), columns.gap_ms[at].tolist()
        has_rank = result.ranks > 0
        reciprocal = np.divide(1.0, result.ranks, out=np.zeros(len(at)), where=has_rank)
        users = [event.user_id for event in events]
        # In the order of the fields: with names, or one by one, they take twice as long.
        fields: list[Iterable[Any]] = [
            [f"{prefix[partition]}{offset}" for partition, offset in zip(partitions, offsets, strict=True)],
            users,
            repeat(self._bundle_id),
            [event.item_id for event in events],
            [event.action for event in events],
            columns.previous_item[at].tolist(),
            [rank or None for rank in result.ranks.tolist()],
            reciprocal.tolist(),
            repeat(self._catalogue),
            columns.steps[at].tolist(),
            [None if gap_ms < 0 else gap_ms for gap_ms in gaps],
            [event.event_time_ms for event in events],
        ]
        share = self._settings.evaluation_share
        if result.foresight is not None:
            fields += result.foresight.columns()
        elif share != 1:
            fields += [repeat(None)] * SCORES
        if share != 1:
            fields.append(repeat(share))
        return zip(partitions, map(str.encode, users), self._lines(map(EvaluationEvent, *fields)), strict=True)

    def updates(self, result: Result) -> Iterator[Output]:
        """Tombstones of erased users, then the representation of every user that changed or was replayed."""
        for erased in result.erased:
            yield erased.partition, erased.user_id.encode(), None
        which = result.updated_rows()
        rows, topic = result.rows.select(which), self._settings.behavior_topic
        partitions = rows.partition.tolist()
        values = map(
            RepresentationUpdate,
            rows.user_id,
            repeat(self._bundle_id),
            map(encode_vector, cells(result.representation[which].astype("<f4"))),
            rows.steps.tolist(),
            rows.last_time_ms.tolist(),
            map(record_id, repeat(topic), partitions, rows.offset.tolist()),
        )
        yield from zip(partitions, map(str.encode, rows.user_id), self._lines(values), strict=True)

    def _lines(self, values: Iterable[Any]) -> list[bytes]:
        """Each as JSON."""
        # A list: of an iterator's values msgspec 0.22 never lets go.
        return self._encoder.encode_lines(list(values)).split(b"\n")[:-1]

    @contextlib.asynccontextmanager
    async def _limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                yield
        except TimeoutError:
            waited = f"were not confirmed within {CONFIRM_TIMEOUT_S:.0f} s"
            raise BrokerError(f"outputs {waited}: is {self._settings.broker} there?") from None

    def _batches(self, outputs: Iterator[Output]) -> list[tuple[int, Any]]:
        """Record batches of each partition, in order."""
        assert self._producer is not None, "started"
        found: list[tuple[int, Any]] = []
        batches: dict[int, Any] = {}
        for partition, key, value in outputs:
            batch = batches.get(partition)
            if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                batch = batches[partition] = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
                found.append((partition, batch))
        return found

    async def _send_dead_letters(self, result: Result) -> list[Any]:
        assert self._producer is not None, "started"
        futures = []
        for record, rejected in result.rejected:
            letter = dead_letter(record, rejected.reason, rejected.field)
            value = b"" if letter.key is None and letter.value is None else letter.value
            futures.append(
                await self._producer.send(
                    self._settings.dead_letter_topic,
                    key=letter.key,
                    value=value,
                    headers=letter.headers,
                    partition=record.partition,
                )
            )
        for user_id, partition, offset in result.erased:
            headers = erasure_marker(user_id, offset)
            topic = self._settings.dead_letter_topic
            futures.append(await self._producer.send(topic, key=b"", value=b"", headers=headers, partition=partition))
        return futures
