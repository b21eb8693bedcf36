"""Traces of batches on a real Kafka and Cassandra, as a collector receives the traces by OTLP."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kafka import KafkaProducer
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from export.runtime.bundle import Bundle
from streams.demo.worker_process import WORKER_COMMAND, WorkerProcess
from streams.local import LocalServices
from tests.support.deployment import Deployment, event, record, shopping
from tests.tools.receivers.trace_collector import TraceCollector, attributes

STEPS = ["draw", "restore", "process", "score", "publish", "write", "update", "ack"]
STOPS_WITHIN_S = 10.0  # far below the 15 s after which the watchdog ends a worker
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e473", "00f067aa0ba902b"
Headers = list[tuple[str, bytes]]


def context(number: int, flags: str = "01") -> Headers:
    """Return the headers of a record in a trace of its own. Flags of "01" say that the producer sampled the trace."""
    return [("traceparent", f"00-{TRACE_ID}{number:x}-{SPAN_ID}{number:x}-{flags}".encode())]


# user -> headers of the user's record. Only the first four users are in a sampled trace.
HEADERS = {
    "user-a": context(1),
    "user-b": [*context(2), ("tracestate", b"vendor=1"), ("other", b"not carried")],
    "user-c": context(3, "03"),
    "erased": context(4),
    "user-e": context(5, "00"),
    "user-f": [("traceparent", b"01-not-a-context")],
    "user-g": [("other", b"1")],
    "user-h": [],
}
SAMPLED = ("user-a", "user-b", "user-c", "erased")


def traced_worker(deployment: Deployment, collector: TraceCollector) -> WorkerProcess:
    folder = deployment.folder / "traced"
    folder.mkdir()
    variables = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
        "OTEL_BSP_SCHEDULE_DELAY": "100",  # ms
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    return WorkerProcess(deployment.settings, folder / "worker.log", WORKER_COMMAND, variables)


def send_with_headers(deployment: Deployment) -> dict[str, tuple[int, int]]:
    """Send a record of each user of HEADERS, and return the partition and the offset of each record."""
    producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
    sent = {}
    for user, headers in HEADERS.items():
        key, value = record(event(f"of-{user}", user, "item-1"))
        future = producer.send(
            deployment.settings.behavior_topic, None if user == "erased" else value, key=key, headers=headers
        )
        sent[user] = future
    producer.flush()
    return {user: (one.get().partition, one.get().offset) for user, one in sent.items()}


@pytest.fixture(scope="module")
def traced(
    services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, TraceCollector, dict[str, tuple[int, int]]]]:
    """A worker that has applied records with and without traces, and has stopped."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("traced"))
    with TraceCollector() as collector:
        worker = traced_worker(deployment, collector)
        deployment.send(shopping(300, 20))
        worker.start()
        deployment.wait_until_committed()
        places = send_with_headers(deployment)
        deployment.wait_until_committed()
        worker.stop()
        assert worker.exit_code == 0, worker.last_lines()
        yield deployment, collector, places


def batches(collector: TraceCollector) -> list[tuple[Any, list[Any]]]:
    """Return the span of each batch with the spans of its steps, in the order of their begin."""
    spans = collector.spans()
    steps = defaultdict(list)
    for span in spans:
        steps[span.parent_span_id].append(span)
    return [
        (span, sorted(steps[span.span_id], key=lambda step: step.start_time_unix_nano))
        for span in spans
        if not span.parent_span_id
    ]


Traced = tuple[Deployment, TraceCollector, dict[str, tuple[int, int]]]


def test_each_batch_has_its_eight_steps_in_order(traced: Traced) -> None:
    _, collector, _ = traced
    found = batches(collector)
    assert len(found) >= 2
    for batch, steps in found:
        assert [step.name.split()[0] for step in steps] == STEPS
        assert {step.trace_id for step in steps} == {batch.trace_id}
        assert all(step.start_time_unix_nano <= step.end_time_unix_nano for step in steps)
        assert batch.start_time_unix_nano <= steps[0].start_time_unix_nano
        assert steps[-1].end_time_unix_nano <= batch.end_time_unix_nano
        assert batch.status.code == Status.STATUS_CODE_UNSET
    assert sum(attributes(batch)["messaging.batch.message_count"] for batch, _ in found) == 300 + len(HEADERS)
    assert len(collector.spans()) == len(found) * (1 + len(STEPS)), "a span belongs to no batch"
    resource = collector.resources()[0]
    assert resource["service.name"] == "thalweg-worker"
    assert resource["deployment.environment.name"] == "test"


def test_spans_follow_the_conventions_for_messaging(traced: Traced) -> None:
    deployment, collector, _ = traced
    settings = deployment.settings
    for batch, steps in batches(collector):
        by_name = {step.name.split()[0]: step for step in steps}
        found = attributes(batch)
        assert (batch.name, batch.kind) == (f"process {settings.behavior_topic}", Span.SPAN_KIND_CONSUMER)
        assert found["messaging.system"] == "kafka"
        assert found["messaging.operation.type"] == "process"
        assert found["messaging.destination.name"] == settings.behavior_topic
        assert found["messaging.consumer.group.name"] == f"{settings.group}-{deployment.bundle.bundle_id}"
        for name, topic in (("publish", settings.evaluation_topic), ("update", settings.updates_topic)):
            step = attributes(by_name[name])
            assert (by_name[name].name, by_name[name].kind) == (f"{name} {topic}", Span.SPAN_KIND_PRODUCER)
            assert (step["messaging.destination.name"], step["messaging.operation.type"]) == (topic, "send")
            assert step["messaging.batch.message_count"] > 0
        assert by_name["write"].kind == Span.SPAN_KIND_CLIENT
        assert attributes(by_name["write"])["db.system.name"] == "cassandra"


def test_a_batch_links_to_the_traces_of_its_sampled_records_and_to_no_others(traced: Traced) -> None:
    _, collector, places = traced
    found = {}
    for batch, _ in batches(collector):
        assert attributes(batch)["thalweg.sampled_records"] == len(batch.links)
        for link in batch.links:
            at = attributes(link)
            place = int(at["messaging.destination.partition.id"]), at["messaging.kafka.offset"]
            found[place] = f"00-{link.trace_id.hex()}-{link.span_id.hex()}"
    wanted = {places[user]: dict(HEADERS[user])["traceparent"].decode()[:-3] for user in SAMPLED}
    assert found == wanted


def test_outputs_of_sampled_records_alone_carry_the_context_on(traced: Traced) -> None:
    deployment, _, _ = traced
    carried = {
        user: [one for one in HEADERS[user] if one[0] in ("traceparent", "tracestate")] if user in SAMPLED else []
        for user in HEADERS
    }
    evaluations = deployment.records(deployment.settings.evaluation_topic)
    assert len(evaluations) == 300 + len(HEADERS) - 1
    assert headers_by_user(evaluations) == {user: headers for user, headers in carried.items() if user != "erased"}
    updates = deployment.records(deployment.settings.updates_topic)
    assert headers_by_user(updates) == carried


def headers_by_user(records: Sequence[Any]) -> dict[str, Headers]:
    """Return the headers of the outputs about the users of HEADERS. No other output has any."""
    found = {one.key.decode().split("/")[-1]: list(one.headers) for one in records}
    assert all(not headers for user, headers in found.items() if user not in HEADERS)
    return {user: headers for user, headers in found.items() if user in HEADERS}


def test_no_span_names_a_user_or_an_item(traced: Traced) -> None:
    _, collector, _ = traced
    sent = b"".join(request.SerializeToString() for request in collector.requests)
    assert b"user-" not in sent
    assert b"item-" not in sent


def test_a_collector_that_is_away_neither_slows_nor_fails_a_worker(
    services: LocalServices, deployment: Deployment
) -> None:
    collector = TraceCollector()  # It listens, and never answers.
    worker = traced_worker(deployment, collector)
    deployment.send(shopping(300, 20))
    worker.start()
    deployment.wait_until_committed()
    began_s = time.monotonic()
    worker.stop()
    assert time.monotonic() - began_s < STOPS_WITHIN_S
    assert worker.exit_code == 0, worker.last_lines()
    assert len(deployment.evaluations()) == 300
    assert deployment.verify().clean
