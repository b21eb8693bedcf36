"""Traces of micro-batches by OpenTelemetry, off by default.

The variable OTEL_TRACES_EXPORTER=otlp turns traces on. The SDK of OpenTelemetry reads all its other variables itself:
endpoint, headers, sampler, limits, attributes of the resource. A span holds no id of a user: no key and no text of an
error.
"""

import os
import re
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.config.errors import SettingsError
from streams.engine.carried_headers import Headers

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span, SpanKind, Tracer

EXPORTER_VARIABLE, DISABLED_VARIABLE = "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
SERVICE_NAME = "thalweg-worker"
EXTRA = "traces need OpenTelemetry: install thalweg with its extra, as in `pip install 'thalweg[trace]'`"
# A worker that stops waits so long for the last spans. A collector that is away does not hold a stop up.
STOP_LIMIT_S = 2.0

CONTEXT_HEADERS = ("traceparent", "tracestate")
# The context of a trace by W3C, version 00, whose flags say that the producer sampled the trace.
SAMPLED = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f][13579bdf]")

Attributes = Mapping[str, str | int | bool]


class Sampled(NamedTuple):
    """A behaviour record whose producer sampled a trace."""

    partition: int
    offset: int
    headers: Headers  # those of CONTEXT_HEADERS
    trace_id: bytes  # 32 hexadecimal digits
    span_id: bytes  # 16 hexadecimal digits


def is_tracing_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables turn traces on. Raises SettingsError for an exporter and a protocol that Thalweg lacks."""
    wanted = environment.get(EXPORTER_VARIABLE, "").strip().lower() or "none"
    if wanted == "none" or environment.get(DISABLED_VARIABLE, "").strip().lower() == "true":
        return False
    if wanted != "otlp":
        raise SettingsError(f"{EXPORTER_VARIABLE} is {wanted!r}: set otlp for traces, or none for no traces")
    for name in PROTOCOL_VARIABLES:
        if (protocol := environment.get(name) or PROTOCOL) != PROTOCOL:
            raise SettingsError(f"{name} is {protocol!r}: set {PROTOCOL}, since Thalweg exports traces over HTTP alone")
    return True


def open_tracing() -> "Tracing | None":
    """The traces of this process; None where they are off. Raises SettingsError."""
    if not is_tracing_wanted(os.environ):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise SettingsError(f"{EXPORTER_VARIABLE} is set, and {error}: {EXTRA}") from None
    resource = Resource({"service.instance.id": str(uuid.uuid4())}).merge(Resource.create())
    if str(resource.attributes["service.name"]).startswith("unknown_service"):  # No variable names the service.
        resource = resource.merge(Resource({"service.name": SERVICE_NAME}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


class Tracing:
    """Begins the spans of batches, and exports the spans in a thread of the SDK."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.sdk.trace import SpanLimits

        self._provider = provider
        self._tracer = provider.get_tracer("thalweg")
        self._most_links = SpanLimits().max_links

    def begin(self, name: str, start_ns: int, attributes: Attributes, sampled: Sequence[Sampled]) -> "BatchSpans":
        """The span of a batch, which links to as many sampled records as the SDK keeps links (128 by default)."""
        from opentelemetry.trace import SpanKind

        links = [_link(one) for one in sampled[: self._most_links]]
        kind = SpanKind.CONSUMER
        span = self._tracer.start_span(name, kind=kind, attributes=attributes, links=links, start_time=start_ns)
        return BatchSpans(self._tracer, span)

    def stop(self) -> None:
        """Export what is left, for at most STOP_LIMIT_S."""
        stopping = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        stopping.start()
        stopping.join(STOP_LIMIT_S)


class BatchSpans:
    """The span of one batch and the spans of its steps. Any thread may call the methods."""

    def __init__(self, tracer: "Tracer", span: "Span") -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span)

    @contextmanager
    def step(self, name: str, kind: str = "internal", attributes: Attributes | None = None) -> "Iterator[Span]":
        """A span around the block. kind: internal, client or producer."""
        span = self._tracer.start_span(name, self._context, _kind(kind), attributes)
        try:
            yield span
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            span.end()

    def passed(self, name: str, start_ns: int, end_ns: int) -> None:
        """A step that has ended already."""
        self._tracer.start_span(name, self._context, start_time=start_ns).end(end_ns)

    def end(self, error: BaseException | None = None) -> None:
        """The batch has ended. error: what the batch failed with."""
        if error is not None:
            _fail(self._span, error)
        self._span.end()


def sampled_records(partition: int, records: Iterable[Any]) -> Iterator[Sampled]:
    """The records whose producer sampled a trace. records: with `offset` and `headers`, as aiokafka gives them."""
    for record in records:
        if record.headers:
            found = SAMPLED.fullmatch(dict(record.headers).get("traceparent") or b"")
            if found is not None:
                headers = [(name, value) for name, value in record.headers if name in CONTEXT_HEADERS and value]
                yield Sampled(partition, record.offset, headers, found[1], found[2])


def _link(one: Sampled) -> "Link":
    from opentelemetry.trace import Link, SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED)
    context = SpanContext(int(one.trace_id, 16), int(one.span_id, 16), is_remote=True, trace_flags=flags)
    attributes: Attributes = {
        "messaging.destination.partition.id": str(one.partition),
        "messaging.kafka.offset": one.offset,
    }
    return Link(context, attributes)


def _kind(name: str) -> "SpanKind":
    from opentelemetry.trace import SpanKind

    return SpanKind[name.upper()]


def _fail(span: "Span", error: BaseException) -> None:
    """The span names the type of the error. The text of an error may hold the id of a user."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(StatusCode.ERROR)
