"""Kafka and Cassandra with TLS and authentication: all parts work with them, and no client works without them."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trustme

from export.runtime.bundle import Bundle
from streams.broker import topics
from streams.broker.topics import broker_admin
from streams.config.errors import BrokerError, SettingsError
from streams.config.settings import SECRETS, SERVICES, Settings
from streams.local import LocalServices
from streams.local.cassandra.cql_protocol import DEFAULT_USER
from streams.local.credentials import CREDENTIALS_FOLDER
from streams.local.process.ports import HOST
from streams.local.state_file import LocalState
from streams.monitor.monitor import Monitor
from streams.store.protocol.cluster import connect
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, event, record
from tests.support.stream.data_files import files_where
from tests.support.stream.quick_services import quick_services

EVENTS = 600
WRONG_PASSWORD = "Zx81-wrong-and-not-to-be-seen"
REFUSED_WITHIN_S = 15.0


@pytest.fixture(scope="module")
def services() -> Iterator[LocalServices]:
    with quick_services(secure=True) as running:
        yield running


@pytest.fixture(scope="module")
def deployment(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)
    return Deployment(services, bundle, tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="module")
def another_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("ca") / "another.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return str(file)


def thalweg(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def passwords(deployment: Deployment) -> list[str]:
    """Return the secrets of a client. Services of `thalweg up` know passwords alone, and no keys of certificates."""
    found = [getattr(deployment.settings, name) for name in SECRETS if getattr(deployment.settings, name) is not None]
    assert len(found) == len(SERVICES)
    return found


def as_environment(settings: Settings) -> dict[str, str]:
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return {f"THALWEG_{name.upper()}": str(value) for name, value in values.items() if value is not None}


def test_events_are_applied_and_published_and_verified(deployment: Deployment) -> None:
    draw = random.Random(7)
    records = [
        record(event(f"e-{i}", f"user-{draw.randrange(40)}", f"item-{draw.randrange(1, 21)}")) for i in range(EVENTS)
    ]
    worker = deployment.worker()
    worker.start()
    monitor = Monitor(deployment.settings, deployment.settings.evaluation_topic, deployment.settings.metrics_topic)
    monitor.start()
    assert deployment.send([*records, (b"nobody", b"no event")]) == EVENTS + 1
    deployment.wait_until_committed()
    worker.stop()

    found = deployment.verify()
    assert (found.mismatches, found.events, found.dead_letters) == ([], EVENTS, 1)
    assert len(deployment.last_updates()) == 40
    assert len(deployment.dead_letters()) == 1
    while monitor.snapshot().records < EVENTS:
        time.sleep(0.05)
    assert monitor.stop().records == EVENTS


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"broker_password": WRONG_PASSWORD}, "THALWEG_BROKER_PASSWORD"),
        ({"cassandra_password": WRONG_PASSWORD}, "THALWEG_CASSANDRA_PASSWORD"),
        ({"broker_ca": "another"}, "THALWEG_BROKER_CA"),
        ({"cassandra_ca": "another"}, "THALWEG_CASSANDRA_CA"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_worker_that_is_refused_names_the_setting(
    deployment: Deployment, another_ca: str, changed: dict[str, str], named: str
) -> None:
    changed = {name: another_ca if value == "another" else value for name, value in changed.items()}
    settings = msgspec.structs.replace(deployment.settings, **changed)
    began = time.monotonic()
    done = thalweg(as_environment(settings), "worker", "--log-level", "DEBUG")
    assert time.monotonic() - began < REFUSED_WITHIN_S
    assert done.returncode == 1
    (error,) = [line for line in done.stdout.splitlines() if line.startswith("thalweg worker: ")]
    assert named in error
    for secret in (WRONG_PASSWORD, *passwords(deployment)):
        assert secret not in done.stdout


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(("missing", "hint"), [("ca", "speaks TLS: set {}_ca"), ("user", "without a user.*{}_user")])
def test_a_client_without_tls_or_user_gets_an_error_that_names_the_setting(
    deployment: Deployment, service: str, missing: str, hint: str
) -> None:
    settings = msgspec.structs.replace(deployment.settings, **{f"{service}_{missing}": None})
    with pytest.raises(SettingsError, match=hint.format(service)) as refused:
        _connect(settings, service)
    assert not refused.value.retryable


@pytest.mark.parametrize("service", SERVICES)
def test_a_port_without_tls_gets_an_error_of_its_own(deployment: Deployment, service: str) -> None:
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1)
                    connection.sendall(b"who is there?")

        threading.Thread(target=answer, daemon=True).start()
        address = f"{HOST}:{server.getsockname()[1]}"
        settings = msgspec.structs.replace(deployment.settings, **{service: address})
        with pytest.raises(SettingsError, match=f"{address} does not speak TLS.*{service}_ca"):
            _connect(settings, service)


def test_cassandra_refuses_its_default_user(deployment: Deployment) -> None:
    default = {"cassandra_user": DEFAULT_USER, "cassandra_password": DEFAULT_USER}
    with pytest.raises(SettingsError, match="refused user 'cassandra'"):
        connect(msgspec.structs.replace(deployment.settings, **default))


def test_the_controller_refuses_clients(
    deployment: Deployment, services: LocalServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "CONNECT_TIMEOUT_MS", 500)
    ports = msgspec.json.decode((services.data_dir / "ports.json").read_bytes())
    controller = f"{HOST}:{ports['kafka_controller']}"
    for user in (deployment.settings.broker_user, None):
        settings = msgspec.structs.replace(deployment.settings, broker=controller, broker_user=user)
        with pytest.raises((SettingsError, BrokerError)):
            _connect(settings, "broker")


def test_only_the_owner_can_read_secrets(deployment: Deployment, services: LocalServices) -> None:
    secrets = [password.encode() for password in passwords(deployment)]
    folder = services.data_dir
    assert folder.stat().st_mode & 0o077 == 0
    holders = files_where(folder, lambda content: any(secret in content for secret in secrets))
    assert {p.relative_to(folder).as_posix() for p in holders} == {
        "kafka/server.properties",
        f"{CREDENTIALS_FOLDER}/passwords.json",
    }
    for file in (*holders, *(folder / CREDENTIALS_FOLDER).iterdir()):
        assert file.stat().st_mode & 0o077 == 0, file
    if sys.platform == "linux":
        for service in services.processes.values():
            command = Path(f"/proc/{service.pid}/cmdline").read_bytes()
            assert not any(secret in command for secret in secrets)


def test_doctor_finds_the_running_services_and_shows_no_password(
    deployment: Deployment, services: LocalServices, tmp_path: Path
) -> None:
    pids = {name: service.pid or 0 for name, service in services.processes.items()}
    state = LocalState(services.client_settings, pids, str(services.data_dir))
    (tmp_path / "local.json").write_bytes(msgspec.json.encode(state, enc_hook=str))
    bundle: Bundle = deployment.bundle
    done = thalweg({"THALWEG_HOME": str(tmp_path)}, "doctor", "--bundle", str(bundle.path))
    assert done.returncode == 0, done.stdout
    assert "THALWEG_BROKER_PASSWORD = '***'" in done.stdout
    assert not any(password in done.stdout for password in passwords(deployment))


def _connect(settings: Settings, service: str) -> None:
    if service == "broker":
        with broker_admin(settings):
            pass
    else:
        connect(settings)[0].shutdown()
