"""A Cassandra that asks for client certificates, and the same node behind Astra's servers."""

import logging
from pathlib import Path
from typing import Any

import pytest

from streams.config.errors import SettingsError, StoreError
from streams.config.settings import Settings
from streams.local.process.ports import free_ports
from streams.store.protocol.cluster import connect
from tests.integration.logins.authority import KEY_PASSWORD, Authority
from tests.integration.logins.logins import Logins

WRONG = "Zx81-wrong-and-not-to-be-seen"
NO_CERTIFICATE = {"cassandra_certificate": None, "cassandra_key": None, "cassandra_key_password": None}


def release(settings: Settings) -> str:
    cluster, session = connect(settings)
    version: str = session.execute("SELECT release_version FROM system.local").one()[0]
    cluster.shutdown()
    return version


def test_a_client_with_a_certificate_logs_in_and_logs_no_secret(
    logins: Logins, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert release(Settings(**logins.with_certificates())).startswith("5.")
    assert "cassandra" in caplog.text
    assert KEY_PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (NO_CERTIFICATE, "asks for a client certificate.*THALWEG_CASSANDRA_CERTIFICATE.*THALWEG_CASSANDRA_KEY"),
        ({"cassandra_key_password": WRONG}, "is THALWEG_CASSANDRA_KEY_PASSWORD the password of the key"),
        ({"cassandra_password": WRONG}, "refused user 'cassandra'.*THALWEG_CASSANDRA_PASSWORD"),
        ({"cassandra_local_dc": "eu-west"}, "'eu-west' names no data centre .*: known are datacenter1"),
    ],
)
def test_a_wrong_use_has_an_error_of_its_own(logins: Logins, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        connect(Settings(**{**logins.with_certificates(), **changed}))
    assert WRONG not in str(refused.value)


def test_a_certificate_that_cassandra_does_not_trust(logins: Logins, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "nobody").issue("stranger", "client")
    changed = {**NO_CERTIFICATE, "cassandra_certificate": certificate, "cassandra_key": key}
    with pytest.raises(SettingsError, match=r"does not accept the client certificate .*stranger"):
        connect(Settings(**{**logins.with_certificates(), **changed}))


def test_each_node_has_its_own_port(logins: Logins) -> None:
    """A node that is down stands first, with another port than the node that answers."""
    down = f"127.0.0.1:{free_ports(['down'])['down']}"
    settings = Settings(**{**logins.with_certificates(), "cassandra": f"{down},{logins.cassandra}"})
    assert release(settings).startswith("5.")


def test_a_local_data_centre_is_asked(logins: Logins) -> None:
    assert release(Settings(**logins.with_certificates(), cassandra_local_dc="datacenter1")).startswith("5.")


def test_astra_is_reached_by_the_names_of_its_nodes(logins: Logins) -> None:
    logins.astra.names.clear()
    assert release(Settings(**logins.with_astra())).startswith("5.")
    assert set(logins.astra.names) == {logins.astra.host_id}
    assert logins.astra.protocol_versions == {4}


def test_wrong_uses_of_a_secure_bundle(logins: Logins, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"refused user 'cassandra'.*THALWEG_CASSANDRA_PASSWORD"):
        connect(Settings(**{**logins.with_astra(), "cassandra_password": WRONG}))
    (tmp_path / "broken.zip").write_text("no zip file")
    for name in ("broken.zip", "absent.zip"):
        with pytest.raises(SettingsError, match=f"THALWEG_CASSANDRA_SECURE_BUNDLE.*{name}.*cannot be used"):
            connect(Settings(cassandra_secure_bundle=str(tmp_path / name)))
    certificate, key = logins.clients.issue("astra-2", "client")
    stranger = Authority(tmp_path, "nobody").file
    bundle = logins.astra.write_bundle(tmp_path / "stranger.zip", stranger, certificate, key)
    with pytest.raises(StoreError, match=r"metadata service at https://localhost:.*stranger\.zip"):
        connect(Settings(**{**logins.with_astra(), "cassandra_secure_bundle": str(bundle)}))
