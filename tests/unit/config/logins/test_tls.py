"""Whom a client trusts, and the certificate that a client shows."""

import ssl
from pathlib import Path

import certifi
import pytest
import trustme

from streams.config.errors import SettingsError
from streams.config.logins.tls import SYSTEM, tls_context
from streams.config.settings import Settings


def test_the_authorities_of_the_system_are_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    trustme.CA(organization_name="of this machine").cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    (found,) = trusted(Settings(broker_ca=SYSTEM))
    assert ("organizationName", "of this machine") in [pair for (pair,) in found["subject"]]


def test_a_machine_without_authorities_trusts_those_of_certifi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    for folder in (tmp_path, tmp_path / "none"):
        monkeypatch.setenv("SSL_CERT_DIR", str(folder))
        expected = ssl.create_default_context(cafile=certifi.where()).cert_store_stats()
        context = tls_context(Settings(broker_ca=SYSTEM), "broker")
        assert context is not None
        assert context.cert_store_stats() == expected
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("a", "b"):
        issued = authority.issue_cert(name)
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.crt"))
    files = {"cassandra_ca": "ca.pem", "cassandra_certificate": "a.crt", "cassandra_key": "b.key"}
    settings = Settings(**{name: str(tmp_path / file) for name, file in files.items()})
    with pytest.raises(SettingsError, match=r"THALWEG_CASSANDRA_CERTIFICATE.*b\.key.*does not belong"):
        tls_context(settings, "cassandra")
    (tmp_path / "b.key").unlink()
    with pytest.raises(SettingsError, match=r"there is no file .*b\.key"):
        tls_context(settings, "cassandra")


def trusted(settings: Settings) -> list[dict]:
    context = tls_context(settings, "broker")
    assert context is not None
    return context.get_ca_certs()
