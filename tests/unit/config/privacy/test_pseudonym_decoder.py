"""Behind the decoder no outcome holds a plain id, and everything else is as without a key."""

import hashlib
import hmac
from typing import Any

import msgspec
import pytest

from encoder.data.contract.judge import DroppedField
from encoder.data.events import BehaviorEvent
from streams.contracts.behavior_events import ERASE_HEADER
from streams.contracts.privacy.pseudonyms import Pseudonyms, is_pseudonym
from streams.engine.codec import ContractDecoder, Erasure, RecordDecoder, Rejected, Several, Skipped, decode_records_of
from streams.engine.payload.mapped_decoder import PayloadDecoder
from streams.engine.payload.pseudonym_decoder import PseudonymDecoder
from streams.engine.payload.reader import JsonReader
from tests.support.mapped.records import MAPPING, NOW_MS, order, shop_decoder, shop_record
from tests.support.processing import MemoryStore, Record, feed, processor, record

KEY = bytes(range(32))
ADA = "ada.lovelace@example.org"
NUMBER = 8005551234  # an id that is a number, which reasons show without quotes
PSEUDONYMS = Pseudonyms(KEY)
PLAIN = (ADA, "ada.love", str(NUMBER))


def expected(user_id: str) -> str:
    """Return the pseudonym by the definition of HMAC in RFC 2104."""
    inner, outer = (bytes(byte ^ pad for byte in KEY.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    digest = hashlib.sha256(outer + hashlib.sha256(inner + user_id.encode()).digest()).hexdigest()
    return f"psn-{digest[:32]}"


def hidden(decoder: RecordDecoder) -> PseudonymDecoder:
    return PseudonymDecoder(decoder, PSEUDONYMS)


def with_fields(key: bytes | None = ADA.encode(), timestamp: int = 10**12, **changed: Any) -> Record:
    fields = {"event_id": "e", "user_id": ADA, "item_id": "i1", "action": "view", "event_time_ms": 5} | changed
    value = msgspec.json.encode({name: field for name, field in fields.items() if field is not None})
    arguments: Any = (key, value, 0, timestamp)
    return Record(*arguments)


GOOD = with_fields()
BROKEN = {
    "another key": with_fields(key=b"someone"),
    "the id is the key alone": with_fields(user_id="someone"),
    "no key": with_fields(key=None),
    "a key outside UTF-8": with_fields(key=ADA.encode() + b"\xff"),
    "a number as the id": with_fields(user_id=NUMBER, key=str(NUMBER).encode()),
    "the id in another field": with_fields(item_id={"of": ADA}),
    "the id as the time": with_fields(event_time_ms=NUMBER, timestamp=0),
    "no item": with_fields(item_id=None),
    "no event id": with_fields(event_id=None, phone=NUMBER),
    "no JSON": GOOD._replace(value=f"view of i1 by {ADA} {NUMBER}".encode()),
    "a list": GOOD._replace(value=f'["{ADA}", {NUMBER}]'.encode()),
    "cut off": GOOD._replace(value=f'{{"user_id": "{ADA}", "n": {NUMBER}'.encode()),
    "a byte outside UTF-8": GOOD._replace(value=f'{{"user_id": "{ADA}'.encode() + b'\xff"}'),
    "a long value": GOOD._replace(value=ADA.encode() * 20_000),
    "an erasure with a long key": Record(ADA.encode() * 100, None, 0, 10**12),
    "an erasure outside UTF-8": Record(ADA.encode() + b"\xff", None, 0, 10**12),
    "a time far ahead": with_fields(event_time_ms=10**12 + 86_400_001),
    "no timestamp": GOOD._replace(timestamp=-1),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("inner", [ContractDecoder(), PayloadDecoder(JsonReader())], ids=["contract", "payload"])
def test_a_rejection_names_the_field_and_hides_every_value(kind: str, inner: RecordDecoder) -> None:
    [plain] = inner.decode_batch([BROKEN[kind]])
    [outcome] = hidden(inner).decode_batch([BROKEN[kind]])
    assert isinstance(plain, Rejected)
    assert isinstance(outcome, Rejected)
    assert (outcome.field, outcome.hidden_reason) == (plain.field, plain.reason)
    assert outcome.field in outcome.reason
    assert not any(text in outcome.reason for text in PLAIN)


def test_the_broken_records_show_ids_where_there_is_no_key() -> None:
    """Otherwise the test before would say nothing."""
    reasons = [one.reason for one in ContractDecoder().decode_batch(list(BROKEN.values())) if isinstance(one, Rejected)]
    assert sum(any(text in reason for text in PLAIN) for reason in reasons) >= 12


def test_an_event_and_an_erasure_have_the_pseudonym_of_rfc_2104_and_nothing_else_changes() -> None:
    [plain] = ContractDecoder().decode_batch([GOOD])
    event, erasure = hidden(ContractDecoder()).decode_batch([GOOD, GOOD._replace(value=None)])
    assert isinstance(event, BehaviorEvent)
    assert isinstance(plain, BehaviorEvent)
    assert event == msgspec.structs.replace(plain, user_id=expected(ADA))
    assert erasure == Erasure(expected(ADA))
    assert is_pseudonym(expected(ADA))
    assert expected(ADA) == f"psn-{hmac.digest(KEY, ADA.encode(), 'sha256').hex()[:32]}"


def test_a_pseudonym_as_an_id_is_hashed_like_any_other_id() -> None:
    [event] = hidden(ContractDecoder()).decode_batch([record(0, expected(ADA), "i1", "x", 5)])
    assert isinstance(event, BehaviorEvent)
    assert event.user_id == expected(expected(ADA))


def test_outcomes_of_a_mapping_hold_no_plain_id() -> None:
    by_key = hidden(shop_decoder(MAPPING.replace('"who"', '"key:"')))
    decoder = hidden(shop_decoder())
    header = ((ERASE_HEADER, ADA.encode()),)
    several, one, erased, skipped, null, line = decoder.decode_batch(
        [
            order(0, ADA, ["i1", "i2"]),
            shop_record(1, who=ADA, sku="i1"),
            Record(b"k", None, 2, NOW_MS, headers=header),
            shop_record(3, who="u", what=ADA),
            Record(ADA.encode(), None, 4, NOW_MS),
            shop_record(5, who=ADA, lines=[{"sku": "i1"}, {"phone": NUMBER}]),
        ]
    )
    assert isinstance(several, Several)
    assert {event.user_id for event in several.events} == {several.user_id} == {expected(ADA)}
    assert [event.event_id for event in several.events] == ["e0#1", "e0#2"]
    assert isinstance(one, BehaviorEvent)
    assert one.user_id == expected(ADA)
    assert erased == Erasure(expected(ADA))
    assert skipped == Skipped("action", "…")
    assert null == Skipped("tombstone", "…")
    assert isinstance(line, Rejected)
    assert not any(text in line.reason for text in PLAIN)
    assert by_key.decode_batch([Record(ADA.encode(), None, 0, NOW_MS)]) == [Erasure(expected(ADA))]


def test_a_dropped_field_keeps_its_name_and_reason_alone() -> None:
    lost: list[DroppedField] = []
    broken = with_fields(event_id=f"{ADA}-7", price="dear", session_id=NUMBER, attributes={ADA: [], "n": {}})
    hidden(ContractDecoder()).decode_batch([broken], lost)
    assert sorted((one.field, str(one.reason)) for one in lost) == [
        ("attributes", "wrong_type"),
        ("attributes", "wrong_type"),
        ("price", "not_a_number"),
        ("session_id", "wrong_type"),
    ]
    assert not any(text in repr(lost) for text in PLAIN)


def test_records_of_a_user_are_found_by_the_pseudonym() -> None:
    log = [record(0, "a", "i1", "x", 5), record(1, "b", "i1", "y", 5), record(2, "a", None, "", 0)]
    kept, outcomes = decode_records_of(hidden(ContractDecoder()), log, {expected("a")})
    assert [one.offset for one in kept] == [0, 2]
    assert outcomes[1] == Erasure(expected("a"))


def test_states_are_those_of_plain_ids_under_pseudonyms() -> None:
    log = [record(n, f"user-{n % 3}", f"i{n % 5 + 1}", f"e{n}", 50 + n) for n in range(30)]
    log.append(record(30, "user-1", None, "", 0))
    plain, under_key = MemoryStore(), MemoryStore()
    feed(processor(), plain, log, 1)
    feed(processor(), under_key, log, 1, hidden(ContractDecoder()))
    assert set(under_key.users) == {expected(user_id) for user_id in plain.users}
    for user_id, row in plain.users.items():
        found = under_key.users[expected(user_id)]
        assert (found.state == row.state).all()
        assert (found.steps, found.offset, found.recent) == (row.steps, row.offset, row.recent)


def test_the_name_of_the_decoder_names_the_key_and_the_rules() -> None:
    other = PseudonymDecoder(ContractDecoder(), Pseudonyms(KEY[::-1]))
    names = {hidden(ContractDecoder()).name, hidden(shop_decoder()).name, other.name, ContractDecoder().name}
    assert len(names) == 4
    assert hidden(ContractDecoder()).name == f"the event contract with pseudonyms {PSEUDONYMS.fingerprint}"
