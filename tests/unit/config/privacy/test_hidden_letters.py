"""A dead letter of a worker with a key tells nothing of its record, except to holders of the key."""

import hashlib
import hmac
from typing import Any, NamedTuple

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streams.commands.dead_letters.erasures import possible_user_ids
from streams.commands.dead_letters.letter import Letter, letter_from_record
from streams.commands.dead_letters.markers import Markers
from streams.commands.dead_letters.originals import Originals
from streams.contracts.dead_letters import DeadLetterHeaders, decode_headers
from streams.contracts.privacy.hidden_letters import Hiding
from streams.contracts.privacy.pseudonyms import Pseudonyms
from streams.engine.codec import ContractDecoder
from streams.engine.outputs import Letter as Written
from streams.engine.outputs import OutputEncoder
from streams.engine.payload.pseudonym_decoder import PseudonymDecoder
from streams.engine.planning.candidates import Part
from tests.support.processing import ITEMS, MemoryStore, Record, feed, processor, record

KEY, OTHER = bytes(range(32)), bytes(range(100, 132))
ADA = b"ada.lovelace@example.org"
NAME = b"lovelace"  # too long to stand in random bytes by chance
BROKEN = Record(ADA, b'{"user_id": "ada.lovelace@example.org"', 0, 10**12, headers=(("agent", b"of " + ADA),))


class Stored(NamedTuple):
    """A record of the dead-letter topic, as a consumer reads it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int = 0
    timestamp: int = 10**12


def letters(log: list[Record], content: Any = "encrypted") -> list[Stored]:
    """Return what a worker with the key writes to the dead-letter topic."""
    pseudonyms = Pseudonyms(KEY)
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1, hiding=Hiding(pseudonyms, content))
    scored = feed(processor(), MemoryStore(), log, 1, PseudonymDecoder(ContractDecoder(), pseudonyms))
    written: list[Written] = list(encoder.dead_letters(scored))
    return [Stored(number, one.key, one.value, list(one.headers)) for number, one in enumerate(written)]


def shown(stored: Stored, key: bytes | None) -> Letter:
    found = Originals(None if key is None else Pseudonyms(key)).read(stored)
    return letter_from_record(found, decode_headers(found.headers))


def derived(purpose: bytes, size: int) -> bytes:
    """Return HKDF-SHA-256 of the key without salt, by RFC 5869."""
    extracted = hmac.digest(bytes(32), KEY, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")[:size]


def test_the_letter_shows_position_and_field_alone_and_the_key_gives_everything_back() -> None:
    [stored] = letters([BROKEN])
    assert NAME not in repr(stored).encode().lower()
    headers = msgspec.convert(decode_headers(stored.headers), DeadLetterHeaders, strict=False)
    assert (headers.field, headers.topic, headers.offset) == ("value", "events", 0)
    assert headers.content == f"encrypted {derived(b'thalweg fingerprint', 8).hex()}"
    assert stored.key == b"psn-" + hmac.digest(KEY, ADA, "sha256").hex()[:32].encode()
    letter = shown(stored, KEY)
    assert (letter.key, letter.value, letter.headers) == (ADA, BROKEN.value, [("agent", b"of " + ADA)])
    assert (letter.whole, letter.content, letter.source) == (True, None, "events-0-0-0")
    assert "truncated" in letter.reason


def test_the_content_is_aes_gcm_under_a_key_of_hkdf_and_bound_to_its_place() -> None:
    [stored] = letters([BROKEN])
    assert stored.value is not None
    cipher = AESGCM(derived(b"thalweg dead letters", 32))
    array = msgspec.msgpack.decode(cipher.decrypt(stored.value[:12], stored.value[12:], b"events-0-0-0"))
    assert array[:3] == [ADA, BROKEN.value, [["agent", b"of " + ADA]]]
    moved = [(name, b"1" if name == "thalweg-offset" else value) for name, value in stored.headers]
    assert "the content was changed" in shown(stored._replace(headers=moved), KEY).reason
    changed = shown(stored._replace(value=stored.value[:-1]), KEY)
    assert (changed.whole, "the content was changed" in changed.reason) == (False, True)
    assert not shown(stored._replace(value=None), KEY).whole
    assert len({one.value for one in (*letters([BROKEN]), stored)}) == 2  # a nonce of its own


@pytest.mark.parametrize("key", [None, OTHER])
def test_a_program_without_the_key_shows_the_letter_and_says_why_it_cannot_be_sent(key: bytes | None) -> None:
    letter = shown(letters([BROKEN])[0], key)
    assert (letter.whole, letter.value) == (False, b"")
    assert f"encrypted with the key {Pseudonyms(KEY).fingerprint}" in letter.why_not_whole
    assert letter.reason.startswith("value is refused")


def test_an_original_that_is_dropped_is_nowhere() -> None:
    [stored] = letters([BROKEN], "dropped")
    assert stored.value == b""
    assert NAME not in repr(stored).encode().lower()
    letter = shown(stored, KEY)
    assert (letter.whole, letter.why_not_whole) == (False, "the dead letter holds nothing of the record")


def test_a_header_with_a_null_value_comes_back() -> None:
    null: Any = (("agent", None), ("trace", b"1"))
    [stored] = letters([BROKEN._replace(headers=null)])
    letter = shown(stored, KEY)
    assert (letter.key, letter.headers, letter.whole) == (ADA, list(null), True)


def test_a_stray_shows_its_pseudonym_and_no_plain_id() -> None:
    """The planner gives this reason, and not the decoder."""
    decoder, target = PseudonymDecoder(ContractDecoder(), Pseudonyms(KEY)), processor()
    first, second = record(0, ADA.decode(), "i1", "x", 5), record(0, ADA.decode(), "i1", "y", 6)._replace(partition=1)
    target.process([Part(0, [first], decoder.decode_batch([first]))], 1)
    stepped = target.process([Part(1, [second], decoder.decode_batch([second]))], 2)
    [(_, rejected)] = stepped.rejected
    assert "'psn-" in rejected.reason
    assert ADA.decode() not in rejected.reason


@pytest.mark.parametrize("key", [KEY, None])
def test_letters_of_an_erased_user_are_hidden_also_without_the_key(key: bytes | None) -> None:
    """Without the key, the pseudonym in the key of a letter and the hash in the marker still belong together."""
    stored = letters(
        [BROKEN, BROKEN._replace(key=b"bob", offset=1, value=b"no JSON"), BROKEN._replace(value=None, offset=2)]
    )
    assert len(stored) == 3
    originals = Originals(None if key is None else Pseudonyms(key))
    markers = Markers(lambda letter: originals.user_ids(possible_user_ids(letter.key, letter.value)))
    for one in stored:
        markers.add(one)
    found = [originals.read(one) for one in stored]
    kept = [one.offset for one in found if not markers.hides(one, decode_headers(one.headers))]
    assert (kept, markers.letters_of_erased_users) == ([1], 1)
    marker = decode_headers(stored[2].headers)["thalweg-erased"]
    assert marker == hashlib.sha256(Pseudonyms(KEY).of_bytes(ADA).encode()).hexdigest()
