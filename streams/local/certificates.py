"""Certificates and passwords of secure local services: made once for a data folder, for its owner's eyes alone."""

import os
import secrets
import shutil
import ssl
from pathlib import Path

import msgspec

from streams.config.settings import SERVICES, Secret
from streams.local.errors import LocalServiceError
from streams.local.process.ports import HOST

FOLDER = "locks"
USER = "thalweg"
PASSWORD_BYTES = 24  # more than anybody can try


class Locks:
    """What is in the folder: the authority's certificate, the services' key and certificate, passwords by service."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        self.server = folder / "server.pem"  # key and certificate
        passwords = msgspec.json.decode((folder / "passwords.json").read_bytes(), type=dict[str, str])
        self.passwords = {service: Secret(password) for service, password in passwords.items()}

    def access(self, service: str) -> dict[str, str]:
        """The settings with which a client comes in."""
        return {
            f"{service}_ca": str(self.ca),
            f"{service}_user": USER,
            f"{service}_password": self.passwords[service],
        }

    def context(self) -> ssl.SSLContext:
        """For a client of the services."""
        return ssl.create_default_context(cafile=self.ca)


def locks_of(data_dir: Path, secure: bool) -> Locks | None:
    """The locks of a data folder, made where it is new; None for services without.

    Raises LocalServiceError where the folder's data was made the other way: opened without locks, it would be there
    for everybody, and a service that was set up without a user has none to let in.
    """
    folder = data_dir / FOLDER
    if not secure:
        if folder.exists():
            raise LocalServiceError(f"the data in {data_dir} is locked: use --secure, or delete it (down --wipe)")
        return None
    if not folder.exists():
        if any((data_dir / name).exists() for name in ("kafka", "cassandra")):
            raise LocalServiceError(f"the data in {data_dir} was made without --secure: delete it (down --wipe) first")
        _make(folder)
    return Locks(folder)


def write_private(file: Path, content: bytes) -> None:
    """Write a file that nobody else may read, at no moment."""
    file.unlink(missing_ok=True)  # its mode would stay
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)


def _make(folder: Path) -> None:
    import trustme
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    authority = trustme.CA(organization_name="Thalweg local services")  # its key is kept nowhere: it signs once
    issued = authority.issue_cert(HOST, "localhost")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    # Kafka and Cassandra read no other form of key than PKCS #8
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
    parts += [certificate.bytes() for certificate in issued.cert_chain_pems]
    partial = folder.with_suffix(".new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    write_private(partial / "ca.pem", authority.cert_pem.bytes())
    write_private(partial / "server.pem", b"".join(parts))
    passwords = {service: secrets.token_urlsafe(PASSWORD_BYTES) for service in SERVICES}
    write_private(partial / "passwords.json", msgspec.json.encode(passwords))
    partial.rename(folder)  # whole or not at all
