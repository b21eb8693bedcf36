"""Certificates of the tests: one authority for servers, one for clients, and one that nobody trusts."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "Zx81-key-not-to-be-seen"


class Authority:
    """An authority and the files that it signed, all in one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._authority = trustme.CA(organization_name=name)
        self._folder = folder
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._authority.cert_pem.bytes())

    def issue(self, name: str, *hosts: str, key_password: str | None = None) -> tuple[str, str]:
        """Return the files of a certificate for these hosts and of its key, as Java reads them (PKCS #8)."""
        issued = self._authority.issue_cert(*hosts, common_name=name)
        protection = NoEncryption() if key_password is None else BestAvailableEncryption(key_password.encode())
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        certificate, key_file = self._folder / f"{name}.crt.pem", self._folder / f"{name}.key.pem"
        certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
        return str(certificate), str(key_file)

    def issue_joined(self, name: str, *hosts: str) -> str:
        """Return one file with key and certificate, as Kafka and Cassandra read them."""
        certificate, key = map(Path, self.issue(name, *hosts))
        joined = self._folder / f"{name}.pem"
        joined.write_bytes(key.read_bytes() + certificate.read_bytes())
        return str(joined)
