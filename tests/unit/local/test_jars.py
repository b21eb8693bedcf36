"""Fetching jars: once, checked against the lock, with an error that says what to do."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from streams.local.errors import LocalServiceError
from streams.local.jvm import jars
from streams.local.jvm.jars import Jar

CONTENT = b"the bytes of a jar" * 1000
PATH = "org/example/flow/1.0/flow-1.0.jar"


class Repository(http.server.SimpleHTTPRequestHandler):
    """A Maven repository that remembers what it was asked for."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths asked for at a local repository with one jar, which the lock names for the service `flow`."""
    jar = tmp_path / "remote" / PATH
    jar.parent.mkdir(parents=True)
    jar.write_bytes(CONTENT)
    lock = tmp_path / "lock.json"
    digest = hashlib.sha256(CONTENT).hexdigest()
    lock.write_bytes(msgspec.json.encode({"flow": [Jar("org.example:flow:1.0", PATH, len(CONTENT), digest)]}))
    Repository.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Repository, directory=str(tmp_path / "remote")))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(jars, "LOCK", lock)
    monkeypatch.setattr(jars, "_remotes", lambda: {"local": f"http://127.0.0.1:{server.server_port}"})
    yield Repository.asked
    server.shutdown()
    server.server_close()


def test_a_jar_is_fetched_once(asked: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert jars.classpaths(["flow"], cache) == {"flow": [cache / "jars" / PATH]}
    assert (cache / "jars" / PATH).read_bytes() == CONTENT
    assert [path for path in (cache / "jars").iterdir() if path.name.startswith("partial-")] == []
    before = len(asked)
    assert before > 0
    jars.classpaths(["flow"], cache)
    assert len(asked) == before


def test_a_cut_jar_in_the_cache_is_fetched_again(asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "jars" / PATH).parent.mkdir(parents=True)
    (tmp_path / "jars" / PATH).write_bytes(CONTENT[:10])
    jars.classpaths(["flow"], tmp_path)
    assert (tmp_path / "jars" / PATH).read_bytes() == CONTENT


def test_altered_content_is_refused(asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "remote" / PATH).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(LocalServiceError, match=r"org.example:flow:1.0 has SHA-256 .* where the lock says"):
        jars.classpaths(["flow"], tmp_path)
    assert not (tmp_path / "jars" / PATH).exists()


def test_offline_says_what_to_do(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_remotes", lambda: {"local": "http://127.0.0.1:1"})
    with pytest.raises(LocalServiceError, match=r"cannot fetch org.example:flow:1.0 .*without network, copy"):
        jars.classpaths(["flow"], tmp_path)


def test_the_lock_holds_the_stated_versions_once_each() -> None:
    locked = jars.locked_jars()
    for name, coordinates in jars.VERSIONS.items():
        found = [jar.coordinate for jar in locked[name]]
        assert set(coordinates) <= set(found)
        assert len(found) == len(set(found))
        assert all(jar.bytes > 0 and len(jar.sha256) == 64 for jar in locked[name])
