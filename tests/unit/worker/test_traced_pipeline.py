"""The spans of a batch that fails, and of a batch that lost its partition."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streams.health.tracing import Tracing
from streams.worker.intake import Delivery
from streams.worker.traced_pipeline import Places, TracedPipeline
from tests.support.processing import record
from tests.support.stream.running_pipeline import Running, SlowPublisher, SlowStore, run_pipeline

STEPS = ["draw", "restore", "process", "score", "publish evaluations", "write", "update updates", "ack"]


class RecordBatch:
    """Counts records as a record batch of aiokafka does."""

    def __init__(self, records: int) -> None:
        self._records = records

    def record_count(self) -> int:
        return self._records


class CountingPublisher(SlowPublisher):
    def record_batches(self, outputs: Iterable[Any], headers: Iterable[Any]) -> list[Any]:
        return [(0, RecordBatch(len(list(outputs))))]


def spans_of(play: Any, store: Any, fails: type[Exception] | None = None) -> dict[str, ReadableSpan]:
    """Play against a traced pipeline, and return the spans by name."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    places = Places("events", "group", "evaluations", "updates", "keyspace")
    make = partial(TracedPipeline, Tracing(provider), places)
    if fails is None:
        run_pipeline(play, store, CountingPublisher(), make_pipeline=make)
    else:
        with pytest.raises(fails):
            run_pipeline(play, store, CountingPublisher(), make_pipeline=make)
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_batch_has_a_span_for_each_step() -> None:
    async def play(running: Running) -> None:
        await running.offer(0, record(0, "u", "i1", "e", 0), record(1, "v", "i1", "f", 0))
        await running.confirmed()

    spans = spans_of(play, SlowStore())
    assert list(spans) == [*STEPS, "process events"]
    assert (spans["publish evaluations"].attributes or {})["messaging.batch.message_count"] == 2
    assert (spans["write"].attributes or {})["thalweg.rows_written"] == 2


def test_a_failed_step_and_its_batch_name_the_type_of_the_error_and_not_its_text() -> None:
    class Refusing(SlowStore):
        async def write(self, rows: Any) -> None:
            raise RuntimeError("the row of u-secret was refused")

    async def play(running: Running) -> None:
        await running.offer(0, record(0, "u-secret", "i1", "e", 0))
        await asyncio.Event().wait()

    spans = spans_of(play, Refusing(), RuntimeError)
    assert list(spans) == [*STEPS[:6], "process events"]
    for name in ("write", "process events"):
        assert not spans[name].status.is_ok
        assert (spans[name].attributes or {})["error.type"] == "RuntimeError"
    assert "secret" not in "".join(span.to_json() for span in spans.values())


def test_a_batch_that_lost_its_partition_ends_after_process() -> None:
    async def play(running: Running) -> None:
        records = (record(0, "u", "i1", "e", 0),)
        await running.intake.offer(Delivery(0, 1, records, ack=lambda: None, is_current=lambda: False))
        await running.intake.drained()
        await asyncio.sleep(0)

    assert list(spans_of(play, SlowStore())) == [*STEPS[:3], "process events"]
