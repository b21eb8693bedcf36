"""The least CPU time that each part of the job can cost: direct calls of the libraries that a worker uses.

Each part runs at its best batch size. What a worker uses beyond the sum is the cost of its bookkeeping (states by user,
order, duplicates, positions) and of exactness.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from cassandra.query import BatchStatement, BatchType

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from streams.broker.publisher import BATCH_BYTES
from streams.broker.topics import ensure_topics
from streams.config.settings import Settings
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.codec import decode_batch
from streams.store.protocol.cluster import connect
from tests.benchmarks.bench.load import WIDTH

FETCHED = 200_000  # events; one fetch returns tens of thousands
EVENTS = 60_000
ROWS = 12_000
BATCHES = (256, 1024, 4096)
ROWS_PER_REQUEST = (10, 30, 60)
REQUESTS_IN_FLIGHT = 16
EVENT = EvaluationEvent(
    id="behavior.events.v1-0-000000123456",
    user_id="",
    bundle_id="0123456789abcdef",
    item_id="item-1",
    action="view",
    previous_item_id="item-2",
    rank=1,
    reciprocal_rank=0.001,
    catalogue=5_000,
    steps=10,
    state_age_ms=100_000,
    event_time_ms=1_700_000_000_000,
)


def floor(settings: Settings, bundle: Bundle, rows_per_event: float) -> dict[str, float]:
    """Return the CPU time of each part in us for each event.

    `rows_per_event` is the number of rows that the worker wrote for each event. The worker published each row, too.
    """
    found = {
        "fetch_decode": asyncio.run(_fetch(settings)),
        "onnx": _onnx(bundle),
        "cassandra": _cassandra(settings) * rows_per_event,
        "evaluations": asyncio.run(_publish(settings, _evaluations())),
        "updates": asyncio.run(_publish(settings, _updates())) * rows_per_event,
    }
    return {**found, "sum": sum(found.values())}


def _us(began_s: float, count: int) -> float:
    return (time.process_time() - began_s) / count * 1e6


async def _fetch(settings: Settings) -> float:
    """Fetch records with the library's consumer and decode them."""
    consumer = AIOKafkaConsumer(
        settings.behavior_topic, bootstrap_servers=settings.broker, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    try:
        count, began_s = 0, time.process_time()
        while count < FETCHED:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                count += len(decode_batch(records))
        return _us(began_s, count)
    finally:
        await consumer.stop()


def _onnx(bundle: Bundle) -> float:
    """Rank and step events, each at its best batch size."""
    stepper, draw = Stepper(bundle), np.random.default_rng(0)
    best = {"predict": np.inf, "step": np.inf}
    for size in BATCHES:
        item = draw.integers(1, bundle.manifest.items, size)
        state = draw.normal(size=(size, bundle.manifest.state_width)).astype(np.float32)
        vector = draw.normal(size=(size, WIDTH)).astype(np.float32)
        calls: dict[str, Callable[[], Any]] = {
            "predict": lambda vector=vector, item=item: stepper.predict(vector, item),
            "step": lambda item=item, state=state, size=size: stepper.step(
                StepInputs(item, np.ones(size, np.int64), np.full(size, 1000), {}), state
            ),
        }
        for name, call in calls.items():
            call()
            began_s, times = time.process_time(), max(1, EVENTS // 4 // size)
            for _ in range(times):
                call()
            best[name] = min(best[name], _us(began_s, times * size))
    return float(sum(best.values()))


def _cassandra(settings: Settings) -> float:
    """Write rows of two vectors with the driver's statements, at the best number of rows in a request."""
    cluster, session = connect(settings)
    try:
        session.execute(
            "CREATE KEYSPACE IF NOT EXISTS bench_floor WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        session.execute("CREATE TABLE IF NOT EXISTS bench_floor.users (id text PRIMARY KEY, vector blob, state blob)")
        insert = session.prepare("INSERT INTO bench_floor.users (id, vector, state) VALUES (?, ?, ?)")
        cell = bytes(4 * WIDTH)
        return min(_rows(session, insert, cell, size) for size in ROWS_PER_REQUEST)
    finally:
        cluster.shutdown()


def _rows(session: Any, insert: Any, cell: bytes, size: int) -> float:
    began_s = time.process_time()
    pending: list[Any] = []
    for start in range(0, ROWS, size):
        batch = BatchStatement(BatchType.UNLOGGED)
        for row in range(start, start + size):
            batch.add(insert, (f"user-{row}", cell, cell))
        pending.append(session.execute_async(batch))
        if len(pending) == REQUESTS_IN_FLIGHT:
            pending.pop(0).result()
    for response in pending:
        response.result()
    return _us(began_s, ROWS)


async def _publish(settings: Settings, values: Sequence[EvaluationEvent | RepresentationUpdate]) -> float:
    """Encode and send values with the worker's producer, without the transactions that the worker uses for updates."""
    topic = f"bench.floor.{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(ensure_topics, msgspec.structs.replace(settings, evaluation_topic=topic))
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.broker,
        acks="all",
        enable_idempotence=True,
        compression_type=settings.compression,
        max_batch_size=BATCH_BYTES,
    )
    await producer.start()
    try:
        encode, began_s = msgspec.json.Encoder().encode, time.process_time()
        batch, futures = producer.create_batch(), []
        for value in values:
            key, line = value.user_id.encode(), encode(value)
            if batch.append(key=key, value=line, timestamp=None) is None:
                futures.append(await producer.send_batch(batch, topic, partition=0))
                batch = producer.create_batch()
                batch.append(key=key, value=line, timestamp=None)
        futures.append(await producer.send_batch(batch, topic, partition=0))
        await asyncio.gather(*futures)
        return _us(began_s, len(values))
    finally:
        await producer.stop()


def _evaluations() -> list[EvaluationEvent]:
    return [msgspec.structs.replace(EVENT, user_id=f"user-{i}", rank=i % 4999 + 1) for i in range(EVENTS)]


def _updates() -> list[RepresentationUpdate]:
    draw, source = np.random.default_rng(0), EVENT.id
    vectors = [vector.tobytes() for vector in draw.normal(size=(ROWS, WIDTH)).astype("<f4")]
    return [
        RepresentationUpdate(f"user-{i}", EVENT.bundle_id, vector, i, EVENT.event_time_ms, source)
        for i, vector in enumerate(vectors)
    ]
