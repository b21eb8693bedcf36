"""The client of the API against a real HTTP server whose answers the test decides."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from streams.serve import client as module
from streams.serve.client import ApiError, Client

Answer = tuple[int, dict[str, str], Any]


class Handler(BaseHTTPRequestHandler):
    """Gives the next of the server's answers, and notes what was asked. An answer of None cuts the connection."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.asked.append((self.command, self.path, body, self.headers.get("Authorization")))
        found = server.answers.pop(0)
        if found is None:
            self.close_connection = True
            return
        status, headers, content = found
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815, the names that the standard library asks for

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    running: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.answers, running.asked = [], []
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def client_of(server: Any, **arguments: Any) -> Client:
    return Client(f"http://127.0.0.1:{server.server_port}", **arguments)


def test_requests_have_their_paths_parameters_bodies_and_the_token(server: Any) -> None:
    server.answers = [(200, {}, {"n": number}) for number in range(5)]
    with client_of(server, token="secret") as client:
        assert client.representation("a/b ü") == {"n": 0}
        client.recommendations("u", k=3, exclude=["i 1", "i2"], exclude_recent=True)
        client.rank("u", ["x"])
        client.erase("u/1")
        assert client.get("users", "u", "churn", days=0.5) == {"n": 4}
    assert [asked[:3] for asked in server.asked] == [
        ("GET", "/v1/users/a%2Fb%20%C3%BC/representation", b""),
        ("GET", "/v1/users/u/recommendations?k=3&exclude=i+1&exclude=i2&exclude_recent=true", b""),
        ("POST", "/v1/rank", b'{"user_id": "u", "item_ids": ["x"]}'),
        ("DELETE", "/v1/users/u%2F1", b""),
        ("GET", "/v1/users/u/churn?days=0.5", b""),
    ]
    assert {asked[3] for asked in server.asked} == {"Bearer secret"}


def test_an_answer_that_says_when_to_come_back_is_asked_for_again_then(server: Any) -> None:
    server.answers = [(503, {"Retry-After": "1"}, {}), (429, {"Retry-After": "0"}, {}), (200, {}, {"at": "last"})]
    began_s = time.monotonic()
    with client_of(server) as client:
        assert client.churn("u", 7) == {"at": "last"}
    assert 1 <= time.monotonic() - began_s < 5


def test_the_last_try_and_every_other_problem_are_errors_with_their_words(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    problem = {"type": "unavailable", "title": "t", "status": 503, "detail": "no bundle"}
    headers = {"Content-Type": "application/problem+json", "X-Request-ID": "r-1", "Retry-After": "500"}
    server.answers = [(503, headers, problem)] * 3 + [(404, headers, problem | {"type": "unknown-user"})]
    with client_of(server, tries=3) as client:
        with pytest.raises(ApiError, match="503 unavailable: no bundle") as error:
            client.representation("u")
        assert (error.value.status, error.value.kind, error.value.request_id) == (503, "unavailable", "r-1")
        assert waits == [module.LONGEST_WAIT_S] * 2
        with pytest.raises(ApiError) as error:
            client.representation("u")
    assert (error.value.kind, len(server.asked)) == ("unknown-user", 4)


def test_a_connection_that_the_server_has_closed_is_opened_again(server: Any) -> None:
    server.answers = [(200, {}, {}), None, (200, {}, {"again": True}), None, None]
    with client_of(server, tries=2) as client:
        client.representation("u")
        assert client.representation("u") == {"again": True}
        with pytest.raises(ConnectionError):
            client.representation("u")


def test_the_file_works_as_a_copy_and_has_about_a_hundred_lines() -> None:
    file = Path(module.__file__)
    assert len(file.read_text().splitlines()) <= 110
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outside = {name.partition(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names
    assert {name for name in outside if not name.startswith("_")} == set()
