"""A gateway in front of a registry, as companies have one: TLS, a login, and failures of its own."""

import base64
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gateway:
    """Passes requests on to the registry at `target`."""

    def __init__(self, target: str, login: str, tls: ssl.SSLContext | None) -> None:
        """login: `user:password`, or an empty text where the gateway asks for none."""
        self.fails_with: HTTPStatus | None = None
        self.fails_at = ""  # only requests whose path has this end fail
        self.paths: list[str] = []  # of the requests that came
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.pass_on(None)

            def do_POST(self) -> None:
                self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

            def pass_on(self, sent: bytes | None) -> None:
                gateway.paths.append(self.path)
                request = urllib.request.Request(target + self.path, sent)
                if sent is not None:
                    request.add_header("Content-Type", self.headers["Content-Type"])
                status, body = gateway.answer(request, self.headers.get("Authorization", ""), login)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.address = f"{scheme}://localhost:{self.server.server_port}"

    def answer(self, request: urllib.request.Request, authorization: str, login: str) -> tuple[int, bytes]:
        if self.fails_with is not None and request.selector.endswith(self.fails_at):
            return self.fails_with, b"the gateway fails"
        if login and authorization != "Basic " + base64.b64encode(login.encode()).decode():
            return HTTPStatus.UNAUTHORIZED, b"who are you?"
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@contextmanager
def gateway(target: str, login: str = "", tls: ssl.SSLContext | None = None) -> Iterator[Gateway]:
    running = Gateway(target, login, tls)
    thread = threading.Thread(target=running.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        running.server.server_close()
