"""What `thalweg serve` says about arguments that cannot be used."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from encoder.errors import InputError
from streams.cli import make_parser
from streams.serve.command import run


def test_a_key_with_a_phrase_is_refused_instead_of_asking_for_the_phrase(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "server.pem", tmp_path / "key.pem"
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    private = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a phrase"),
        )
    )
    arguments = ["serve", "--certificate", str(certificate), "--key", str(key)]
    with pytest.raises(InputError, match=r"key\.pem is encrypted with a phrase: give a key without one"):
        run(make_parser(["serve"]).parse_args(arguments))
