"""The encrypted original of a dead letter. Pure, apart from random nonces.

The content is a nonce of 12 random bytes and AES-256-GCM (NIST SP 800-38D) of an array in MessagePack: key, value,
headers and reason. The place of the record is the associated data, so that a content cannot stand at another place.
Random nonces are safe for 2^32 dead letters of a key (section 8.3 there).
"""

import os
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES, NONCE_BYTES = 32, 12


class Original(msgspec.Struct, frozen=True, array_like=True):
    """What a dead letter holds of the rejected record, and the reason with the record's values."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]  # Kafka allows null as the value of a header
    reason: str


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Original).decode


class LetterCipher:
    """Encrypts and decrypts originals with one key. fingerprint: names the key, and tells nothing of the key."""

    def __init__(self, key: bytes, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._cipher = AESGCM(key)

    def encrypted(self, original: Original, place: str) -> bytes:
        """place: topic, epoch, partition and offset of the record, as `record_id` writes them."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, _encode(original), place.encode())

    def decrypted(self, content: bytes, place: str) -> Original:
        """Raises ValueError for a content that was changed, or that belongs to another key or place."""
        try:
            return _decode(self._cipher.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], place.encode()))
        except (InvalidTag, msgspec.MsgspecError, OverflowError) as error:
            raise ValueError(f"{type(error).__name__} {error}".rstrip()) from None
