"""TLS and authentication from settings to the arguments of the client libraries."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from streams.config.errors import SettingsError
from streams.config.security import broker_arguments, tls_context
from streams.config.settings import Settings

SECRET = "Zx81-not-to-be-seen"


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"broker_user": "anna", "broker_password": SECRET}, "SASL_PLAINTEXT"),
        ({"broker_ca": "ca.pem"}, "SSL"),
        ({"broker_ca": "ca.pem", "broker_user": "anna", "broker_password": SECRET}, "SASL_SSL"),
    ],
)
def test_the_user_and_the_ca_choose_the_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], protocol: str
) -> None:
    monkeypatch.chdir(tmp_path)
    trustme.CA().cert_pem.write_to_path("ca.pem")
    arguments = broker_arguments(Settings(**given))
    assert arguments["security_protocol"] == protocol
    assert arguments.get("sasl_mechanism") == ("SCRAM-SHA-512" if "broker_user" in given else None)
    assert (arguments["ssl_context"] is not None) == ("broker_ca" in given)


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for file in (tmp_path / "empty.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError, match=f"THALWEG_CASSANDRA_CA.*{file.name}"):
            tls_context(Settings(cassandra_ca=str(file)), "cassandra")
