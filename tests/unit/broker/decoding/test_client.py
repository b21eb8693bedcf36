"""Answers that no registry should give."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from streams.broker.decoding.client import Registered, RegistryClient
from streams.broker.decoding.registration import register_updates
from streams.config.errors import RegistryError, SettingsError
from streams.config.settings import Settings

Answered = tuple[int, bytes, dict[str, str]]  # status, body, headers
Answer = Callable[[str, str], Answered]  # by method and path
DEEP = b'{"a":' * 5_000
NO_SUBJECT: Answered = (404, b'{"error_code": 40401, "message": "no subject"}', {})


@contextmanager
def answering(answer: Answer) -> Iterator[Settings]:
    """The settings of a server with these answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body, headers = answer(self.command, self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield Settings(schema_registry=address, updates_format="avro")
        server.shutdown()


@pytest.mark.parametrize("status", [200, 404, 409, 422, 500])
@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"{}", b"[1]", b'{"schema": 1}', b'"\xff"', DEEP])
def test_garbage_is_an_error_of_the_registry(status: int, body: bytes) -> None:
    with answering(lambda *_: (status, body, {})) as settings:
        client = RegistryClient(settings)
        with pytest.raises(RegistryError, match="answered /schemas/ids/7"):
            client.schema(7)
        with pytest.raises((RegistryError, SettingsError), match="schema registry at"):
            register_updates(settings, client)


@pytest.mark.parametrize("number", [b"-1", b"2147483648", b"4294967296", b"1e400", b"null", b'"7"'])
def test_a_number_that_is_no_schema_id_is_not_taken(number: bytes) -> None:
    def answer(method: str, path: str) -> Answered:
        return (200, b'{"id": %b}' % number, {}) if path.endswith("/versions") else NO_SUBJECT

    with answering(answer) as settings, pytest.raises(RegistryError, match="with no id"):
        register_updates(settings, RegistryClient(settings))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_schema_is_not_sent_to_where_a_registry_redirects(status: int) -> None:
    def answer(method: str, path: str) -> Answered:
        if method == "POST":
            return status, b"", {"Location": f"/elsewhere{path}"}
        return (200, b'{"schema": "x"}', {}) if path == "/elsewhere/schemas/ids/7" else NO_SUBJECT

    with answering(answer) as settings, pytest.raises(SettingsError) as refused:
        register_updates(settings, RegistryClient(settings))
    assert f"with HTTP {status}, a redirection to '/elsewhere/subjects/representations.updates.v1-value" in str(
        refused.value
    )
    assert "name the address that takes schemas in schema_registry" in str(refused.value)


def test_a_schema_is_read_where_a_registry_redirects() -> None:
    def answer(method: str, path: str) -> Answered:
        if path == "/elsewhere/schemas/ids/7":
            return 200, b'{"schema": "x"}', {}
        return 301, b"", {"Location": f"/elsewhere{path}"}

    with answering(answer) as settings:
        assert RegistryClient(settings).schema(7) == Registered("x")


@pytest.mark.parametrize("address", ["http://a..b:8081", "http://localhost:1/\u00fc"])
def test_an_address_that_cannot_be_asked_names_the_setting(address: str) -> None:
    with pytest.raises(SettingsError, match=r"schema_registry .* is no address that can be asked"):
        RegistryClient(Settings(schema_registry=address)).kinds()
