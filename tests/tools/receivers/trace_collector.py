"""A collector of traces that keeps what exporters send by OTLP over HTTP."""

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.local.process.ports import HOST


class TraceCollector:
    """Listens on a free port of this machine inside a `with` block."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                is_known = self.path == "/v1/traces"
                if is_known:
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200 if is_known else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> "TraceCollector":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

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
