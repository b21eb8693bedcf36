"""Dead letters whose original only holders of the key can read, where the settings name a `pseudonym_key`. Pure.

The key of a hidden letter is the pseudonym of the original key. The value is the encrypted original, or empty where
originals are dropped. The header CONTENT_HEADER says which. The headers of position, field and bundle stay readable.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from streams.contracts.dead_letters import (
    CONTENT_HEADER,
    EPOCH_HEADER,
    OFFSET_HEADER,
    OUR_HEADERS,
    PARTITION_HEADER,
    TOPIC_HEADER,
    DeadLetter,
    decode_headers,
)
from streams.contracts.privacy.letter_cipher import Original
from streams.contracts.privacy.pseudonyms import Pseudonyms

DROPPED = "dropped"
_ENCRYPTED = "encrypted "  # before the fingerprint of the key
_PLACE = (TOPIC_HEADER, EPOCH_HEADER, PARTITION_HEADER, OFFSET_HEADER)


class Hiding(NamedTuple):
    """How originals are hidden."""

    pseudonyms: Pseudonyms
    content: Literal["encrypted", "dropped"]

    def hide(self, letter: DeadLetter, reason: str) -> DeadLetter:
        """The letter without what its record holds.

        letter: whose reason shows no values. reason: with values, for holders of the key.
        """
        ours = [(name, value) for name, value in letter.headers if name.startswith(OUR_HEADERS)]
        value, content = b"", DROPPED
        if self.content == "encrypted":
            headers = [(name, value) for name, value in letter.headers if not name.startswith(OUR_HEADERS)]
            original = Original(letter.key, letter.value, headers, reason)
            value = self.pseudonyms.letters.encrypted(original, _place(decode_headers(ours)))
            content = _ENCRYPTED + self.pseudonyms.fingerprint
        key = None if letter.key is None else self.pseudonyms.of_bytes(letter.key).encode()
        return DeadLetter(key=key, value=value, headers=[*ours, (CONTENT_HEADER, content.encode())])


def key_of_content(headers: Mapping[str, str]) -> str | None:
    """The fingerprint of the key that decrypts a dead letter with these headers; None for a letter in plain text."""
    content = headers.get(CONTENT_HEADER, "")
    return content.removeprefix(_ENCRYPTED) if content.startswith(_ENCRYPTED) else None


def read_original(pseudonyms: Pseudonyms, value: bytes | None, headers: Mapping[str, str]) -> Original:
    """The original of an encrypted letter. headers: of the letter.

    Raises ValueError where the content was changed, or belongs to another key or place.
    """
    return pseudonyms.letters.decrypted(value or b"", _place(headers))


def _place(headers: Mapping[str, str]) -> str:
    return "-".join(headers.get(name, "") for name in _PLACE)
