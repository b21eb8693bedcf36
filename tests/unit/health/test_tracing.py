"""Whether traces are on, and which records are in a sampled trace."""

import subprocess
import sys
from typing import NamedTuple

import pytest

from streams.config.errors import SettingsError
from streams.health.tracing import is_tracing_wanted, open_tracing, sampled_records

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Record(NamedTuple):
    offset: int
    headers: tuple[tuple[str, bytes | None], ...]


@pytest.mark.parametrize(
    ("environment", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_traces_are_on_where_the_exporter_is_named(environment: dict[str, str], is_wanted: bool) -> None:
    assert is_tracing_wanted(environment) is is_wanted


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin': set otlp"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is 'grpc': set http/protobuf",
        ),
    ],
)
def test_what_thalweg_cannot_do_is_an_error(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        is_tracing_wanted(environment)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"pip install 'thalweg\[trace\]'"):
        open_tracing()


def test_a_worker_without_traces_loads_nothing_of_opentelemetry() -> None:
    code = (
        "import sys; from streams.worker import wiring; from streams.health.tracing import open_tracing; "
        "print(open_tracing(), [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout == "None []\n", ended.stderr


def test_the_variables_name_the_service_and_a_service_without_a_name_is_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    assert service_name() == "thalweg-worker"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop")
    assert service_name() == "shop"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-worker")
    assert service_name() == "shop-worker"


def service_name() -> object:
    tracing = open_tracing()
    assert tracing is not None
    tracing.stop()
    return tracing._provider.resource.attributes["service.name"]


@pytest.mark.parametrize(
    ("parent", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"01-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
        ("", False),
    ],
)
def test_a_record_is_sampled_by_the_flags_of_a_valid_context(parent: str, is_sampled: bool) -> None:
    found = list(sampled_records(3, [Record(7, (("traceparent", parent.encode()),))]))
    assert [(one.partition, one.offset) for one in found] == ([(3, 7)] if is_sampled else [])


def test_only_the_headers_of_the_context_are_carried_on() -> None:
    parent = f"00-{TRACE}-{SPAN}-01".encode()
    headers = (("app", b"1"), ("tracestate", b"v=1"), ("traceparent", parent), ("baggage", b"user=u-1"), ("x", None))
    records = [Record(0, ()), Record(1, headers), Record(2, (("traceparent", None),))]
    (found,) = sampled_records(0, records)
    assert found.headers == [("tracestate", b"v=1"), ("traceparent", parent)]
    assert (found.trace_id, found.span_id) == (TRACE.encode(), SPAN.encode())
