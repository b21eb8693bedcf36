"""With a key, plain ids stay in the behaviour topic, while every program answers for them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams.contracts.privacy.pseudonyms import Pseudonyms, is_pseudonym
from streams.local import LocalServices
from streams.local.process.ports import free_ports
from streams.store.cql_schema import representations_table
from streams.store.protocol.cluster import connect
from tests.support.deployment import Deployment, environment_of, event, record, run_thalweg
from tests.support.stream.data_files import files_where
from tests.tools.serving import Server, started

PLAIN = b"qzx7plainid"  # in every id of this test, and nowhere else
USERS, EVENTS = 20, 600
WITHIN_S = 30.0
NUMBER = 774411229933551  # an id that a producer has written as a number


def user(number: int) -> str:
    return f"{PLAIN.decode()}-{number:03d}@example.org"


def log() -> Iterator[tuple[bytes, bytes]]:
    for number in range(EVENTS):
        item, action = f"item-{number % 97 + 1}", ("view", "cart", "purchase")[number % 3]
        yield record(event(f"{PLAIN.decode()}-{number}", user(number % USERS), item, action, 10**12 + number * 1_000))


def broken() -> list[tuple[bytes | None, bytes | None]]:
    """Return records that become dead letters, all with a plain id."""
    good = record(event("e", user(1), "item-1"))[1]
    return [
        (user(0).encode(), good),
        (None, good),
        (user(1).encode(), good[:-9]),
        (str(NUMBER).encode(), good.replace(f'"{user(1)}"'.encode(), str(NUMBER).encode())),
        (user(1).encode(), good.replace(b'"item-1"', f'["{user(1)}"]'.encode())),
    ]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "pseudonym.key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def run(
    services: LocalServices, bundle: Bundle, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Server]]:
    """A worker that was killed and started again, a server, and a monitor that has ended."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("run"), pseudonym_key=str(key))
    deployment.kill_under_load("first", log(), 600.0, 200)
    worker = deployment.worker("last")
    worker.start()
    # The log shows the first event that has lost a field.
    lost = event(f"{PLAIN.decode()}-lost", user(2), "item-5", time_ms=10**12) | {"price": user(2), "session_id": 7}
    deployment.send([*broken(), record(lost), (user(0).encode(), None)])
    deployment.wait_until_committed()
    server = started(deployment.settings, deployment.folder / "server", "--lookalikes")
    _monitor(deployment)
    yield deployment, server
    server.stop()
    worker.stop()


def test_no_output_holds_a_plain_id(run: tuple[Deployment, Server], services: LocalServices) -> None:
    deployment, server = run
    _ask(deployment, server)
    settings = deployment.settings
    pseudonym = _pseudonyms(deployment).of(user(3)).encode()
    for topic in ("dead_letter_topic", "updates_topic", "evaluation_topic", "metrics_topic"):
        records = deployment.records(getattr(settings, topic))
        assert records, topic
        parts = [part for r in records for part in (r.key, r.value, *(value for _, value in r.headers)) if part]
        assert not [part for part in parts if _is_plain(part)], topic
        assert topic in ("metrics_topic", "dead_letter_topic") or any(pseudonym in part for part in parts), topic
    assert any(PLAIN in r.value for r in deployment.records(settings.behavior_topic) if r.value)  # the search works
    _flush(deployment, services, pseudonym)
    assert files_where(services.cassandra.log.parent, _is_plain) == []
    written = files_where(deployment.folder, bool)
    assert {"worker.log", "server.log", "monitor.log"} <= {path.name for path in written}
    assert files_where(deployment.folder, _is_plain) == []
    worker_log = (deployment.folder / "last" / "worker.log").read_text()
    assert "a value of price is left out" in worker_log  # the examples of dropped fields, without their values


def test_every_program_with_the_key_takes_plain_ids(run: tuple[Deployment, Server]) -> None:
    deployment, _ = run
    found = deployment.verify()
    assert (found.clean, found.mismatches, found.dead_letters) == (True, [], len(broken()))
    assert found.events > EVENTS
    shown = _json(deployment, "dlq", "--json")
    assert {(one["key"], one["value"]) for one in shown["newest"]} == {
        (None if k is None else k.decode(), None if v is None else v.decode()) for k, v in broken()[1:]
    }
    assert (shown["dead_letters"], shown["erased"]) == (len(broken()) - 1, 1)
    assert _json(deployment, "dlq", "--json", "--reason", "truncated")["dead_letters"] == 1
    erased = run_thalweg(deployment.settings, "erase", user(4))
    assert erased.returncode == 0, erased.stdout + erased.stderr
    assert deployment.last_updates()[_pseudonyms(deployment).of(user(4))] is None
    resent = _json(deployment, "dlq", "--json", "--resend")
    assert (resent["resent"], resent["not_whole"]) == (len(broken()) - 1, [])
    deployment.wait_until_committed()
    assert deployment.verify().clean


def test_a_program_without_the_key_or_with_another_is_refused_or_sees_pseudonyms_alone(
    run: tuple[Deployment, Server], tmp_path: Path
) -> None:
    deployment, _ = run
    other = tmp_path / "other.key"
    other.write_bytes(os.urandom(32))
    other.chmod(0o600)
    without, with_other = (deployment.settings_with(pseudonym_key=one) for one in (None, str(other)))
    for settings, *command in (
        (without, "worker"),
        (without, "erase", user(5)),
        (with_other, "verify"),
        (with_other, "serve", "--port", "0"),
    ):
        refused = run_thalweg(settings, *command)
        assert refused.returncode == 1, refused.stdout
        assert "holds pseudonyms of the key with the fingerprint" in refused.stderr, refused.stderr
    assert not _is_plain(run_thalweg(with_other, "dlq", "--json").stdout.encode())
    sent = run_thalweg(without, "dlq", "--resend")
    assert "encrypted with the key" in sent.stdout, sent.stdout + sent.stderr


def _ask(deployment: Deployment, server: Server) -> None:
    """The server answers for plain ids, and for the pseudonyms that its answers hold."""
    pseudonyms = _pseudonyms(deployment)
    found = server.ask(f"/v1/users/{user(3)}/representation")
    assert (found["user_id"], found["steps"]) == (user(3), EVENTS // USERS)
    both = server.send("/v1/representations", {"user_ids": [user(3), pseudonyms.of(user(3)), user(0)]})
    assert [one["representation"] for one in both["representations"]] == [found["representation"]] * 2
    assert both["unknown"] == [user(0)]
    deadline = time.monotonic() + WITHIN_S
    while (answer := server.client.get(f"/v1/users/{user(3)}/lookalikes")).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    alike = [one["user_id"] for one in answer.json()["users"]]
    assert set(alike) == {pseudonyms.of(user(n)) for n in range(1, USERS) if n != 3}
    assert server.ask(f"/v1/users/{alike[0]}/recommendations", k=3)["known"] is True
    explained = server.ask(f"/v1/users/{user(3)}/explanation")
    assert len(explained["events"]) == EVENTS // USERS, explained["events_missing"]
    deadline = time.monotonic() + WITHIN_S
    while not (seen := server.ask(f"/v1/live/users/{user(3)}"))["events"]:
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    assert {one["user_id"] for one in seen["events"]} == {pseudonyms.of(user(3))}
    sent = server.client.delete(f"/v1/users/{user(6)}")
    assert sent.status_code == 202, sent.text
    while not server.ask(sent.json()["status"])["is_forgotten"]:
        assert time.monotonic() < deadline, server.ask(sent.json()["status"])
        time.sleep(0.2)
    refused = server.client.delete(f"/v1/users/{pseudonyms.of(user(7))}")
    assert (refused.status_code, "is a pseudonym" in refused.text) == (422, True)


def _monitor(deployment: Deployment) -> None:
    """Run a monitor until it has published the metrics of the events."""
    folder = deployment.folder / "monitor"
    folder.mkdir()
    settings = deployment.settings_with(monitor_folder=str(folder), http_port=free_ports(["http"])["http"])
    with (folder / "monitor.log").open("wb") as output:
        command = [sys.executable, "-m", "streams.cli", "monitor", "--bundle", deployment.settings.bundle or ""]
        monitor = subprocess.Popen(command, env=environment_of(settings), stdout=output, stderr=output)
        deadline = time.monotonic() + WITHIN_S
        while not deployment.records(deployment.settings.metrics_topic):
            assert time.monotonic() < deadline, (folder / "monitor.log").read_text()
            time.sleep(0.5)
        monitor.terminate()
        assert monitor.wait(WITHIN_S) in (0, -15, 143)


def _flush(deployment: Deployment, services: LocalServices, pseudonym: bytes) -> None:
    """Let Cassandra write the tables of users to data files that a search can read."""
    cluster, session = connect(deployment.settings)
    width = deployment.bundle.manifest.representation_width
    for table in (representations_table(width), "pending_erasures", "behavior_topic"):
        session.execute(
            f"ALTER TABLE {deployment.settings.keyspace}.{table} WITH compression = {{'enabled': false}} "
            "AND memtable_flush_period_in_ms = 500"
        )
    cluster.shutdown()
    deployment.send([record(event("after", user(3), "item-1", time_ms=10**12 + 10**6))])  # a memtable with the period
    deployment.wait_until_committed()
    folder = services.cassandra.log.parent / "data" / deployment.settings.keyspace
    deadline = time.monotonic() + WITHIN_S
    while not any(path.match("representations_*/*-Data.db") for path in files_where(folder, lambda c: pseudonym in c)):
        assert time.monotonic() < deadline, files_where(folder, bool)
        time.sleep(0.3)


def _pseudonyms(deployment: Deployment) -> Pseudonyms:
    assert deployment.settings.pseudonym_key is not None
    found = Pseudonyms(Path(deployment.settings.pseudonym_key).read_bytes())
    assert is_pseudonym(found.of(user(1)))
    return found


def _is_plain(content: bytes) -> bool:
    return PLAIN in content or str(NUMBER).encode() in content


def _json(deployment: Deployment, *arguments: str) -> Any:
    answer = run_thalweg(deployment.settings, *arguments)
    assert answer.returncode == 0, answer.stderr
    return msgspec.json.decode(answer.stdout.splitlines()[-1])
