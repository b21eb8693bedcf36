"""The settings of every login that the services of these tests know."""

from pathlib import Path
from typing import Any

from streams.local.cassandra.cql_protocol import DEFAULT_USER
from tests.integration.logins.astra import Astra
from tests.integration.logins.authority import KEY_PASSWORD, Authority
from tests.integration.logins.issuer import CLIENT, CLIENT_SECRET, SCOPE, Issuer
from tests.integration.logins.services import PASSWORD, USER

KAFKA_LOGINS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "client certificate")


class Logins:
    """Settings by login. `brokers`: the addresses by listener."""

    brokers: dict[str, str]
    cassandra: str
    astra: Astra

    def __init__(self, folder: Path, servers: Authority, clients: Authority, issuer: Issuer) -> None:
        self.folder, self.servers, self.clients, self.issuer = folder, servers, clients, issuer
        self._certificates = {
            service: clients.issue(f"client-of-{service}", "client", key_password=KEY_PASSWORD)
            for service in ("broker", "cassandra")
        }
        self._bundle_certificate = clients.issue("astra", "client")

    def kafka(self, login: str) -> dict[str, Any]:
        """Return the settings of a client of Kafka."""
        ca = {"broker_ca": str(self.servers.file)}
        user = {"broker_user": USER, "broker_password": PASSWORD}
        if login == "client certificate":
            return {"broker": self.brokers["mtls"], **self.certificate("broker")}
        if login == "OAUTHBEARER":
            return {
                **{"broker": self.brokers["oauth"], **ca, "broker_mechanism": login},
                **{"broker_user": CLIENT, "broker_password": CLIENT_SECRET},
                **{"broker_token_url": self.issuer.token_url, "broker_token_scope": SCOPE},
            }
        if login == "SCRAM-SHA-512":
            return {"broker": self.brokers["scram512"], **ca, **user}
        return {"broker": self.brokers["plain"], **ca, **user, "broker_mechanism": login}

    def certificate(self, service: str) -> dict[str, Any]:
        """Return the settings of a client certificate. A client of Cassandra needs a password besides."""
        certificate, key = self._certificates[service]
        found = {
            f"{service}_ca": str(self.servers.file),
            f"{service}_certificate": certificate,
            f"{service}_key": key,
            f"{service}_key_password": KEY_PASSWORD,
        }
        return found if service == "broker" else {**found, **self._cassandra_user()}

    def with_certificates(self) -> dict[str, Any]:
        """Return the settings of a client of Cassandra with a certificate."""
        return {"cassandra": self.cassandra, **self.certificate("cassandra")}

    def with_astra(self) -> dict[str, Any]:
        """Return the settings of a client of Cassandra behind Astra's servers."""
        file = self.folder / "secure-connect.zip"
        if not file.exists():
            self.astra.write_bundle(file, self.servers.file, *self._bundle_certificate)
        return {"cassandra_secure_bundle": str(file), **self._cassandra_user()}

    def secrets(self) -> list[str]:
        """Return every text that no log may hold."""
        return [PASSWORD, CLIENT_SECRET, KEY_PASSWORD, *self.issuer.issued]

    def _cassandra_user(self) -> dict[str, Any]:
        return {"cassandra_user": DEFAULT_USER, "cassandra_password": DEFAULT_USER}
