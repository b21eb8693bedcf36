"""A collector of traces that keeps what exporters send by OTLP over HTTP."""

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.tools.receivers.http_receiver import HttpReceiver


class TraceCollector(HttpReceiver):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[ExportTraceServiceRequest] = []

    def take(self, path: str, body: bytes) -> int:
        if path != "/v1/traces":
            return 404
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        return 200

    def spans(self) -> list[Any]:
        """Return every span, in the order of arrival."""
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resources(self) -> list[dict[str, Any]]:
        """Return the attributes of the resource of each request."""
        return [attributes(one.resource) for request in list(self.requests) for one in request.resource_spans]


def attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of a span, a link or a resource as plain values."""
    found = {}
    for one in holder.attributes:
        kind = one.value.WhichOneof("value")
        found[one.key] = getattr(one.value, kind)
    return found
