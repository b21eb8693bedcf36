"""Workers with each login, from the first event to a clean verification, while tokens and sessions end."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from export.runtime.bundle import Bundle
from streams.config.logins.tls import SYSTEM
from streams.demo.worker_process import WORKER_COMMAND, WorkerProcess
from tests.integration.logins.logins import Logins
from tests.integration.logins.services import SESSION_S
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, run_thalweg, shopping

EVENTS_PER_S = 200
SESSIONS = 3
# Between two outputs: docs/decisions.md#sessions-that-end
SILENT_AT_MOST_MS = 500


class Login:
    """What a deployment needs of its services."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.client_settings = settings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)


def deploy(logins: Logins, bundle: Bundle, folder: Path, settings: dict[str, Any]) -> tuple[Deployment, WorkerProcess]:
    folder.mkdir()
    deployment = Deployment(Login(settings), bundle, folder)  # type: ignore[arg-type]  # reads these settings alone
    command = (*WORKER_COMMAND, "--log-level", "DEBUG")
    return deployment, WorkerProcess(deployment.settings, folder / "worker.log", command)


def test_workers_with_every_login(
    logins: Logins, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(logins.servers.file))  # the authorities that this machine trusts
    kinds = {
        "plain": {**logins.kafka("PLAIN"), **logins.with_astra()},
        "scram": {**logins.kafka("SCRAM-SHA-256"), **logins.with_certificates(), "broker_ca": SYSTEM},
        "mtls": {**logins.kafka("client certificate"), **logins.with_certificates()},
    }
    deployed = {name: deploy(logins, bundle, tmp_path / name, settings) for name, settings in kinds.items()}
    for _, worker in deployed.values():
        worker.start(wait=False)
    for deployment, worker in deployed.values():
        worker.wait_until_ready()
        deployment.send(shopping(300, 30))
    for deployment, worker in deployed.values():
        deployment.wait_until_committed()
        worker.stop()
        found = deployment.verify()
        assert (found.mismatches, found.events) == ([], 300)
        assert_no_secrets(logins, worker.log.read_text())
    settings = deployed["plain"][0].settings
    doctor = run_thalweg(settings, "doctor").stdout
    assert "user 'anna' by PLAIN, TLS that trusts" in doctor
    assert f"secure connect bundle {settings.cassandra_secure_bundle}" in doctor
    assert_no_secrets(logins, doctor)


def test_a_worker_does_not_pause_while_tokens_and_sessions_end(logins: Logins, bundle: Bundle, tmp_path: Path) -> None:
    logins.issuer.life_s = SESSION_S + 1
    settings = {**logins.kafka("OAUTHBEARER"), **logins.with_certificates()}
    deployment, worker = deploy(logins, bundle, tmp_path / "oauth", settings)
    worker.start()
    issued = len(logins.issuer.issued)
    count = int(EVENTS_PER_S * SESSION_S * SESSIONS)
    assert deployment.send(shopping(count, 100), EVENTS_PER_S) == count
    deployment.wait_until_committed()
    worker.stop()
    logins.issuer.life_s = 300.0
    assert len(logins.issuer.issued) >= issued + SESSIONS - 1
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], count)
    log = worker.log.read_text()
    assert_no_secrets(logins, log)
    # The broker has closed no connection of aiokafka. kafka-python connects anew where its own second login is late.
    assert [line for line in log.splitlines() if "aiokafka" in line and "KafkaConnectionError" in line] == []
    times_ms = sorted(record.timestamp for record in deployment.records(deployment.settings.evaluation_topic))
    assert max(later - earlier for earlier, later in itertools.pairwise(times_ms)) < SILENT_AT_MOST_MS


def assert_no_secrets(logins: Logins, text: str) -> None:
    assert [secret for secret in logins.secrets() if secret in text] == []
