"""TLS and authentication from settings to the arguments of the client libraries."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from streams.config.errors import SettingsError
from streams.config.logins.tls import tls_context
from streams.config.security import aiokafka_arguments, describe_login
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
    arguments = aiokafka_arguments(Settings(**given))
    assert arguments["security_protocol"] == protocol
    assert arguments.get("sasl_mechanism") == ("SCRAM-SHA-512" if "broker_user" in given else None)
    assert (arguments["ssl_context"] is not None) == ("broker_ca" in given)


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for file in (tmp_path / "empty.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError, match=f"THALWEG_CASSANDRA_CA.*{file.name}"):
            tls_context(Settings(cassandra_ca=str(file)), "cassandra")


@pytest.mark.parametrize(
    ("given", "service", "text"),
    [
        ({}, "broker", "without a user and without TLS"),
        ({"broker_ca": "ca.pem"}, "broker", "TLS that trusts ca.pem"),
        (
            {"broker_ca": "system", "broker_user": "anna", "broker_password": SECRET},
            *("broker", "user 'anna' by SCRAM-SHA-512, TLS that trusts the authorities of this machine"),
        ),
        (
            {"broker_ca": "ca.pem", "broker_mechanism": "AWS_MSK_IAM"},
            *("broker", "by AWS_MSK_IAM, TLS that trusts ca.pem"),
        ),
        (
            {
                **{"broker_user": "id", "broker_password": SECRET, "broker_mechanism": "OAUTHBEARER"},
                "broker_token_url": "https://issuer/token",
            },
            *("broker", "user 'id' by OAUTHBEARER, with tokens of https://issuer/token, no TLS"),
        ),
        (
            {"cassandra_ca": "ca.pem", "cassandra_certificate": "me.pem", "cassandra_key_password": SECRET},
            *("cassandra", "client certificate me.pem, TLS that trusts ca.pem"),
        ),
        (
            {"cassandra_secure_bundle": "b.zip", "cassandra_user": "token", "cassandra_password": SECRET},
            *("cassandra", "user 'token' by password, secure connect bundle b.zip"),
        ),
    ],
)
def test_a_login_is_described_without_secrets(given: dict[str, Any], service: str, text: str) -> None:
    assert describe_login(Settings(**given), service) == text
