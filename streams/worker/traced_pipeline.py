"""The pipeline with a span around each step of a batch. Without traces, a worker runs the plain pipeline.

The names of attributes are those of OpenTelemetry's conventions for messaging and for databases. A batch has many
causes, so the span of a batch has links to the traces of its records instead of a parent.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from streams.broker.publisher import RecordBatches, UpdatesByPartition
from streams.engine.outputs import Letter
from streams.engine.stages import Scored, Stepped
from streams.health.tracing import Attributes, BatchSpans, Tracing, sampled_records
from streams.store.user_rows import Requests
from streams.worker.intake import Batch
from streams.worker.pipeline import Encoded, Pipeline
from streams.worker.residency import Restored


class Places(NamedTuple):
    """Where a worker reads and writes, for the attributes of spans."""

    behavior_topic: str
    group_id: str
    evaluation_topic: str
    updates_topic: str
    keyspace: str


class TracedPipeline(Pipeline):
    """Begins a span when a batch is drawn, and ends the span when the batch is acknowledged or has failed."""

    def __init__(self, tracing: Tracing, places: Places, **parts: Any) -> None:
        """parts: the arguments of `Pipeline`."""
        super().__init__(**parts)
        self._tracing = tracing
        self._places = places
        self._spans: dict[Batch, BatchSpans] = {}

    async def draw(self) -> AsyncIterator[Batch]:
        async for batch in super().draw():
            self._begin(batch)
            yield batch

    def _begin(self, batch: Batch) -> None:
        sampled = [one for d in batch.deliveries for one in sampled_records(d.partition, d.records)]
        batch.source_headers = {(one.partition, one.offset): one.headers for one in sampled}
        places, filled_at_ns = self._places, self._intake.filled_at_ns
        attributes: dict[str, str | int | bool] = {
            **_messaging("process", "process", places.behavior_topic, batch.events),
            "messaging.consumer.group.name": places.group_id,
            "thalweg.sampled_records": len(sampled),
        }
        if len(batch.deliveries) == 1:  # The convention has no attribute for several partitions.
            attributes["messaging.destination.partition.id"] = str(batch.deliveries[0].partition)
        name = f"process {places.behavior_topic}"
        self._spans[batch] = self._tracing.begin(name, filled_at_ns, attributes, sampled)
        self._spans[batch].passed("draw", filled_at_ns, time.time_ns())

    async def _carry_or_fail(self, batch: Batch) -> None:
        try:
            await super()._carry_or_fail(batch)
        except BaseException as error:
            self._spans.pop(batch).end(error)
            raise
        self._spans.pop(batch).end()

    @asynccontextmanager
    async def restore(self, batch: Batch) -> AsyncIterator[Restored]:
        async with AsyncExitStack() as stack:
            with self._spans[batch].step("restore") as span:
                restored = await stack.enter_async_context(super().restore(batch))
                span.set_attribute("thalweg.rows_read", len(restored.stored))
            yield restored

    async def process(self, batch: Batch, restored: Restored) -> Stepped | None:
        with self._spans[batch].step("process"):
            return await super().process(batch, restored)

    async def score(self, batch: Batch, stepped: Stepped) -> tuple[Scored, Encoded]:
        with self._spans[batch].step("score", attributes={"thalweg.evaluated_events": len(stepped.evaluated)}):
            return await super().score(batch, stepped)

    async def publish(self, batch: Batch, evaluations: RecordBatches, dead_letters: list[Letter]) -> None:
        topic = self._places.evaluation_topic
        count = sum(one.record_count() for _, one in evaluations) + len(dead_letters)
        with self._spans[batch].step(f"publish {topic}", "producer", _messaging("publish", "send", topic, count)):
            await super().publish(batch, evaluations, dead_letters)

    async def write(self, batch: Batch, scored: Scored, requests: Requests) -> None:
        attributes: Attributes = {
            "db.system.name": "cassandra",
            "db.namespace": self._places.keyspace,
            "thalweg.rows_written": len(scored.changed_rows()),
            "thalweg.users_erased": len(scored.erased),
        }
        with self._spans[batch].step("write", "client", attributes):
            await super().write(batch, scored, requests)

    async def update(self, batch: Batch, updates: UpdatesByPartition) -> None:
        topic, count = self._places.updates_topic, sum(map(len, updates.values()))
        with self._spans[batch].step(f"update {topic}", "producer", _messaging("update", "send", topic, count)):
            await super().update(batch, updates)

    def ack(self, batch: Batch, scored: Scored) -> None:
        with self._spans[batch].step("ack"):
            super().ack(batch, scored)


def _messaging(operation: str, kind: str, topic: str, count: int) -> dict[str, str | int | bool]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": topic,
        "messaging.batch.message_count": count,
    }
