"""Jars are downloaded once and checked against the lock, and an error says what to do."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from streams.local.errors import LocalServiceError
from streams.local.jvm import jar_lock, maven
from streams.local.jvm.jar_lock import Jar
from streams.local.jvm.jars import classpaths

CONTENT = b"the bytes of a jar" * 1000
PATH = "org/example/flow/1.0/flow-1.0.jar"


class RepositoryServer(http.server.ThreadingHTTPServer):
    """A Maven repository of files in a folder that records the paths of all requests."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(RepositoryHandler, directory=str(folder)))


class RepositoryHandler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, RepositoryServer)
        self.server.paths.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests to a local repository with one jar, which the lock names for the service `flow`."""
    jar = tmp_path / "remote" / PATH
    jar.parent.mkdir(parents=True)
    jar.write_bytes(CONTENT)
    lock = tmp_path / "lock.json"
    digest = hashlib.sha256(CONTENT).hexdigest()
    lock.write_bytes(msgspec.json.encode({"flow": [Jar("org.example:flow:1.0", PATH, len(CONTENT), digest)]}))
    server = RepositoryServer(tmp_path / "remote")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(jar_lock, "LOCK_FILE", lock)
    monkeypatch.setattr(maven, "repositories", lambda: {"local": f"http://127.0.0.1:{server.server_port}"})
    yield server.paths
    server.shutdown()
    server.server_close()


def test_a_jar_is_downloaded_once(requested: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert classpaths(["flow"], cache) == {"flow": [cache / "jars" / PATH]}
    assert (cache / "jars" / PATH).read_bytes() == CONTENT
    assert [path for path in (cache / "jars").iterdir() if path.name.startswith("partial-")] == []
    before = len(requested)
    assert before > 0
    classpaths(["flow"], cache)
    assert len(requested) == before


@pytest.mark.usefixtures("requested")
def test_an_incomplete_jar_in_the_cache_is_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "jars" / PATH).parent.mkdir(parents=True)
    (tmp_path / "jars" / PATH).write_bytes(CONTENT[:10])
    classpaths(["flow"], tmp_path)
    assert (tmp_path / "jars" / PATH).read_bytes() == CONTENT


@pytest.mark.usefixtures("requested")
def test_altered_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "remote" / PATH).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(LocalServiceError, match=r"org.example:flow:1.0 has SHA-256 .* where the lock says"):
        classpaths(["flow"], tmp_path)
    assert not (tmp_path / "jars" / PATH).exists()


@pytest.mark.usefixtures("requested")
def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maven, "repositories", lambda: {"local": "http://127.0.0.1:1"})
    with pytest.raises(LocalServiceError, match=r"cannot download org.example:flow:1.0 .*without a network, copy"):
        classpaths(["flow"], tmp_path)


def test_the_lock_holds_the_versions_of_the_code_once_each() -> None:
    locked = jar_lock.locked_jars()
    for name, coordinates in jar_lock.VERSIONS.items():
        found = [jar.coordinate for jar in locked[name]]
        assert set(coordinates) <= set(found)
        assert len(found) == len(set(found))
        assert all(jar.size_bytes > 0 and len(jar.sha256) == 64 for jar in locked[name])
