"""Certificates and passwords of secure local services: made once for a data folder, readable by the owner alone."""

import secrets
import shutil
import ssl
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streams.config.settings import SERVICES, Secret
from streams.local.errors import LocalServiceError
from streams.local.private_file import write_private_file

CREDENTIALS_FOLDER = "locks"  # the name on disk: data folders of earlier versions have it
USER = "thalweg"
PASSWORD_BYTES = 24


class Credentials:
    """The content of a credentials folder."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = folder / "ca.pem"  # certificate of the authority
        self.server_file = folder / "server.pem"  # key and certificate of both services
        passwords = msgspec.json.decode((folder / "passwords.json").read_bytes(), type=dict[str, str])
        self.passwords = {service: Secret(password) for service, password in passwords.items()}  # by service

    def client_settings(self, service: str) -> dict[str, str]:
        """The settings with which a client authenticates to the service."""
        return {
            f"{service}_ca": str(self.ca_file),
            f"{service}_user": USER,
            f"{service}_password": self.passwords[service],
        }

    def tls_context(self) -> ssl.SSLContext:
        """A client's TLS context that trusts the authority."""
        return ssl.create_default_context(cafile=self.ca_file)


def load_or_create_credentials(data_dir: Path, hosts: Sequence[str], secure: bool) -> Credentials | None:
    """The credentials of a data folder, created for a new folder; None when `secure` is False.

    hosts: the addresses of the nodes, which the certificate names.
    Raises LocalServiceError when `secure` does not fit the data in the folder. Services without authentication would
    open the data to everybody, and a service that was set up without a user cannot authenticate one.
    """
    folder = data_dir / CREDENTIALS_FOLDER
    if not secure:
        if folder.exists():
            raise LocalServiceError(
                f"the data in {data_dir} was made with --secure: use --secure again, or delete the data first with "
                "`thalweg down --wipe`"
            )
        return None
    if not folder.exists():
        if any((data_dir / service).exists() for service in ("kafka", "cassandra")):
            raise LocalServiceError(
                f"the data in {data_dir} was made without --secure: leave out --secure, or delete the data first with "
                "`thalweg down --wipe`"
            )
        _create(folder, hosts)
    return Credentials(folder)


def _create(folder: Path, hosts: Sequence[str]) -> None:
    # Imported here because only secure services need them.
    import trustme
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    authority = trustme.CA(organization_name="Thalweg local services")  # signs one certificate; its key is not stored
    issued = authority.issue_cert(*hosts, "localhost")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    # Kafka and Cassandra read keys in PKCS #8 alone.
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
    parts += [certificate.bytes() for certificate in issued.cert_chain_pems]
    partial = folder.with_suffix(".new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    write_private_file(partial / "ca.pem", authority.cert_pem.bytes())
    write_private_file(partial / "server.pem", b"".join(parts))
    passwords = {service: secrets.token_urlsafe(PASSWORD_BYTES) for service in SERVICES}
    write_private_file(partial / "passwords.json", msgspec.json.encode(passwords))
    partial.rename(folder)  # the folder is complete or absent
