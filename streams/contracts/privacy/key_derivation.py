"""Keys for several purposes from the bytes of one key file. Pure."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derived_key(key: bytes, purpose: bytes, size: int) -> bytes:
    """`size` bytes by HKDF-SHA-256 (RFC 5869). A key for one purpose tells nothing of the key for another one."""
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=purpose).derive(key)
