"""Pseudonyms: what stands for a user id in everything behind the codec, where the settings name a key. Pure.

The pseudonym of an id is `psn-` and the first 32 hexadecimal digits of HMAC-SHA-256 (RFC 2104) of the id in UTF-8 under
the bytes of the key file. The keys of dead letters and the fingerprint come from the same bytes by HKDF (RFC 5869), so
that no one of the three tells of another.
"""

import hmac
import re

from streams.contracts.privacy.key_derivation import derived_key
from streams.contracts.privacy.letter_cipher import KEY_BYTES, LetterCipher

PREFIX = "psn-"
# 128 bits: among 10^9 users, two have one pseudonym with a chance of 1.5e-21.
DIGITS = 32
FINGERPRINT_BYTES = 8
_FORM = re.compile(rf"{PREFIX}[0-9a-f]{{{DIGITS}}}")


class Pseudonyms:
    """The pseudonyms of one key."""

    def __init__(self, key: bytes) -> None:
        """key: the bytes of the key file."""
        self._hmac = hmac.new(key, digestmod="sha256")  # a copy costs less than a new one
        self.fingerprint = derived_key(key, b"thalweg fingerprint", FINGERPRINT_BYTES).hex()
        self.letters = LetterCipher(derived_key(key, b"thalweg dead letters", KEY_BYTES), self.fingerprint)

    def of(self, user_id: str) -> str:
        """The pseudonym of an id. A pseudonym as an id gets another pseudonym."""
        return self.of_bytes(user_id.encode())

    def of_bytes(self, user_id: bytes) -> str:
        """The pseudonym of an id in UTF-8, or of other bytes such as a broken key."""
        keyed = self._hmac.copy()
        keyed.update(user_id)
        return PREFIX + keyed.hexdigest()[:DIGITS]

    def stored(self, user_id: str) -> str:
        """The id under which a user is stored: the pseudonym, also where the caller gives the pseudonym itself."""
        return user_id if is_pseudonym(user_id) else self.of(user_id)


def is_pseudonym(user_id: str) -> bool:
    """Whether a text has the form of a pseudonym."""
    return _FORM.fullmatch(user_id) is not None
