"""The codec rejects each kind of bad record with a reason that names the field. test_codec_fuzz tests any input."""

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.data.contract.judge import DROPPABLE_FIELDS, DroppedField
from encoder.data.events import BehaviorEvent
from streams.contracts.fields import MAX_AHEAD_MS, MAX_KEY_BYTES, MAX_TEXT, MAX_TIME_MS, MAX_VALUE_BYTES
from streams.engine.codec import Erasure, Rejected, decode, decode_batch

NOW_MS = 1_700_000_000_000
KEY = b"u1"
GOOD: dict[str, Any] = {
    "event_id": "e1",
    "user_id": "u1",
    "item_id": "i1",
    "action": "view",
    "event_time_ms": NOW_MS,
}


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    timestamp: int = NOW_MS
    offset: int = 0


def raw(**changes: bytes) -> bytes:
    """Return the good event as JSON, in which the JSON text of some fields is replaced or added."""
    fields = {name: json.dumps(value).encode() for name, value in GOOD.items()} | changes
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in fields.items()) + b"}"


def without(name: str) -> bytes:
    return json.dumps({k: v for k, v in GOOD.items() if k != name}).encode()


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


# kind -> (record, the field that the reason must name, another text that the reason must contain)
BAD: dict[str, tuple[Record, str, str]] = {
    "empty value": (Record(KEY, b""), "value", "empty (0 bytes)"),
    "blank value": (Record(KEY, b" \n\t"), "value", "empty (3 bytes)"),
    "not JSON": (Record(KEY, b"view of i1 by u1"), "value", "view of i1"),
    "cut off": (Record(KEY, raw()[:40]), "value", "truncated"),
    "Python's quotes": (Record(KEY, b"{'event_id': 'e1'}"), "value", "'event_id'"),
    "comma at the end": (Record(KEY, raw()[:-1] + b",}"), "value", "00000,}"),
    "two documents": (Record(KEY, raw() + raw()), "value", "trailing characters"),
    "array": (Record(KEY, b"[1, 2]"), "value", "[1, 2]"),
    "null literal": (Record(KEY, b"null"), "value", "null"),
    "text literal": (Record(KEY, b'"view"'), "value", "view"),
    "byte order mark": (Record(KEY, b"\xef\xbb\xbf" + raw()), "value", "byte order mark"),
    "UTF-16": (Record(KEY, raw().decode().encode("utf-16")), "value", r"\xff\xfe"),
    "control character": (Record(KEY, raw(category=b'"a\x01b"')), "value", r"a\x01b"),
    "deep nesting": (Record(KEY, raw(extra=deep(100_000))), "value", "nests too deep"),
    "deep nesting, cut off": (Record(KEY, raw()[:-1] + b',"extra":' + b"[" * 100_000), "value", "nests too deep"),
    "2 MB value": (Record(KEY, raw(category=b'"' + b"x" * 2_000_000 + b'"')), "value", str(MAX_VALUE_BYTES)),
    "no event_id": (Record(KEY, without("event_id")), "event_id", "missing"),
    "no user_id": (Record(KEY, without("user_id")), "user_id", "missing"),
    "no item_id": (Record(KEY, without("item_id")), "item_id", "missing"),
    "no action": (Record(KEY, without("action")), "action", "missing"),
    "no event_time_ms": (Record(KEY, without("event_time_ms")), "event_time_ms", "missing"),
    "null item_id": (Record(KEY, raw(item_id=b"null")), "item_id", "null"),
    "item_id as number": (Record(KEY, raw(item_id=b"1004856")), "item_id", "1004856"),
    "user_id as object": (Record(KEY, raw(user_id=b'{"id":"u1"}')), "user_id", '{"id":"u1"}'),
    "boolean action": (Record(KEY, raw(action=b"true")), "action", "true"),
    "empty event_id": (Record(KEY, raw(event_id=b'""')), "event_id", '""'),
    "empty user_id": (Record(b"", raw(user_id=b'""')), "user_id", '""'),
    "empty item_id": (Record(KEY, raw(item_id=b'""')), "item_id", '""'),
    "empty action": (Record(KEY, raw(action=b'""')), "action", '""'),
    "long item_id": (Record(KEY, raw(item_id=b'"' + b"i" * (MAX_TEXT + 1) + b'"')), "item_id", "iiii"),
    "negative time": (Record(KEY, raw(event_time_ms=b"-1")), "event_time_ms", "-1"),
    "fractional time": (Record(KEY, raw(event_time_ms=b"1700000000000.5")), "event_time_ms", "1700000000000.5"),
    "time as float": (Record(KEY, raw(event_time_ms=b"1.7e12")), "event_time_ms", "1700000000000.0: Expected `int`"),
    "time as text": (Record(KEY, raw(event_time_ms=b'"2023-11-14"')), "event_time_ms", '"2023-11-14"'),
    "boolean time": (Record(KEY, raw(event_time_ms=b"true")), "event_time_ms", "true"),
    "null time": (Record(KEY, raw(event_time_ms=b"null")), "event_time_ms", "null"),
    "time as NaN": (Record(KEY, raw(event_time_ms=b"NaN")), "event_time_ms", "NaN"),
    "item_id as Latin-1": (Record(KEY, raw(item_id='"Schönes"'.encode("latin-1"))), "item_id", r"Sch\udcf6nes"),
    "half a surrogate pair in item_id": (Record(KEY, raw(item_id=rb'"\ud83d"')), "item_id", r"\ud83d"),
    "half a surrogate pair as a time": (Record(KEY, raw(event_time_ms=rb'"\ud83d"')), "event_time_ms", r"\ud83d"),
    "no item_id beside a bad price": (Record(KEY, raw(item_id=b"null", price=b"-1")), "item_id", "null"),
    "cut off behind a bad price": (Record(KEY, raw(price=b"-1")[:-1]), "value", "truncated"),
    "leading zero": (Record(KEY, raw(event_time_ms=b"01700000000000")), "value", ":01700"),
    "time in microseconds": (Record(KEY, raw(event_time_ms=b"1700000000000000")), "event_time_ms", "17000000000000"),
    "time of 30 digits": (Record(KEY, raw(event_time_ms=b"1" * 30)), "event_time_ms", "1" * 30),
    "time of 5,000 digits": (Record(KEY, raw(event_time_ms=b"1" * 5000)), "event_time_ms", "1111"),
    "far future": (
        Record(KEY, raw(event_time_ms=b"%d" % (NOW_MS + MAX_AHEAD_MS + 1))),
        "event_time_ms",
        str(NOW_MS + MAX_AHEAD_MS + 1),
    ),
    "no record timestamp": (Record(KEY, raw(), -1), "timestamp", "-1"),
    "no key": (Record(None, raw()), "key", "None"),
    "empty key": (Record(b"", raw()), "key", "''"),
    "another user's key": (Record(b"u2", raw()), "key", "'u2'"),
    "key with its quotes": (Record(b'"u1"', raw()), "key", "\"u1\""),
    "key not UTF-8": (Record(b"\xff\x00", raw()), "key", r"\xff"),
    "user_id twice": (Record(KEY, raw()[:-1] + b',"user_id":"u2"}'), "key", "'u2'"),
    "erasure without key": (Record(None, None), "key", "None"),
    "erasure with empty key": (Record(b"", None), "key", "b''"),
    "erasure, key not UTF-8": (Record(b"u\xff", None), "key", r"u\xff"),
    "erasure, long key": (Record(b"u" * (MAX_TEXT + 1), None), "key", "uuuu"),
    "erasure, very long key": (Record(b"u" * (MAX_KEY_BYTES + 1), None), "key", "uuuu"),
}  # fmt: skip

# kind -> (value, the fields of its event): values that look odd and are valid
ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "unknown field": (raw(colour=b'{"deep":[1,null]}'), {}),
    "unknown field with bytes of no text": (raw(blob=b'"\xff"'), {}),
    "white space around": (b"\n " + raw().replace(b",", b" ,\n\t") + b" \n", {}),
    "optional fields null": (raw(price=b"null", category=b"null", session_id=b"null", attributes=b"null"), {}),
    "field twice": (raw()[:-1] + b',"item_id":"i2"}', {"item_id": "i2"}),
    "whole price": (raw(price=b"12"), {"price": 12.0}),
    "empty category": (raw(category=b'""'), {"category": ""}),
    "surrogate pair": (raw(category=rb'"\ud83d\ude00"'), {"category": "\U0001f600"}),
    "optional fields NaN": (raw(price=b"NaN", attributes=b'{"a":NaN}', category=b"NaN"), {}),
    "null attribute": (raw(attributes=b'{"a":null,"b":1}'), {"attributes": {"b": 1}}),
    "NaN in an unknown field": (raw(**{"": b"NaN"}), {}),
    "half a surrogate pair in an unknown name": (raw()[:-1] + rb',"\ud800":1}', {}),
    "bytes of no text in an unknown field beside NaN": (raw(blob=b'"\xff"', price=b"NaN"), {}),
    "price as text": (raw(price=b'"12.50"'), {"price": 12.5}),
    "price with its currency": (raw(price=b'"EUR 1.234,50"'), {"price": 1234.5}),
    "price of NaN as text": (raw(price=b'"nan"'), {}),
    "null character": (raw(category=rb'"a\u0000b"'), {"category": "a\0b"}),
    "unknown action": (raw(action=b'"teleport"'), {"action": "teleport"}),
    "first millisecond": (raw(event_time_ms=b"0"), {"event_time_ms": 0}),
    "minus zero": (raw(event_time_ms=b"-0"), {"event_time_ms": 0}),
    "a day ahead": (raw(event_time_ms=b"%d" % (NOW_MS + MAX_AHEAD_MS)), {"event_time_ms": NOW_MS + MAX_AHEAD_MS}),
    "years late": (raw(event_time_ms=b"946684800000"), {"event_time_ms": 946_684_800_000}),
    "longest item_id": (raw(item_id=b'"' + "é".encode() * MAX_TEXT + b'"'), {"item_id": "é" * MAX_TEXT}),
    "mixed attributes": (
        raw(attributes=b'{"brand":"acme","stock":3,"weight":0.5}'),
        {"attributes": {"brand": "acme", "stock": 3, "weight": 0.5}},
    ),
}

LONG = b'"' + b"x" * (MAX_TEXT + 1) + b'"'
# kind -> (JSON of optional fields, the dropped fields as (path, reason), the fields that remain)
DROPPED: dict[str, tuple[dict[str, bytes], list[tuple[str, str]], dict[str, Any]]] = {
    "Latin-1": ({"category": '"Schönes"'.encode("latin-1")}, [("category", "not_utf8")], {}),
    "overlong UTF-8": ({"category": b'"\xc0\x80"'}, [("category", "not_utf8")], {}),
    "surrogate as UTF-8": ({"session_id": b'"\xed\xa0\x80"'}, [("session_id", "not_utf8")], {}),
    "lone high surrogate": ({"category": rb'"\ud83d"'}, [("category", "not_utf8")], {}),
    "lone low surrogate": ({"category": rb'"a\ude00b"'}, [("category", "not_utf8")], {}),
    "long category": ({"category": LONG, "price": b"1"}, [("category", "too_long")], {"price": 1.0}),
    "long session_id": ({"session_id": LONG}, [("session_id", "too_long")], {}),
    "category as number": ({"category": b"7"}, [("category", "wrong_type")], {}),
    "Infinity": ({"price": b"-Infinity"}, [("price", "not_finite")], {}),
    "price beyond a float": ({"price": b"1e999"}, [("price", "not_finite")], {}),
    "price of 400 digits": ({"price": b"9" * 400}, [("price", "not_finite")], {}),
    "price of 5,000 digits": ({"price": b"9" * 5000}, [("price", "not_finite")], {}),
    "negative price": ({"price": b"-0.5", "category": b'"c"'}, [("price", "negative")], {"category": "c"}),
    "negative price as text": ({"price": b'"-17.94"'}, [("price", "negative")], {}),
    "price with two meanings": ({"price": b'"1,234"'}, [("price", "not_a_number")], {}),
    "price as a word": ({"price": b'"free"'}, [("price", "not_a_number")], {}),
    "boolean price": ({"price": b"true"}, [("price", "wrong_type")], {}),
    "price as object": ({"price": b'{"amount":1}'}, [("price", "wrong_type")], {}),
    "attribute of 2^63": (
        {"attributes": b'{"n":9223372036854775808,"m":1}'},
        [("attributes.n", "beyond_64_bits")],
        {"attributes": {"m": 1}},
    ),
    "attribute of 5,000 digits": (
        {"attributes": b'{"n":' + b"9" * 5000 + b"}"}, [("attributes.n", "beyond_64_bits")], {}
    ),
    "boolean attribute": ({"attributes": b'{"new":true}'}, [("attributes.new", "wrong_type")], {}),
    "nested attribute": ({"attributes": b'{"a":{"b":1}}'}, [("attributes.a", "wrong_type")], {}),
    "infinite attribute": ({"attributes": b'{"a":1e999}'}, [("attributes.a", "not_finite")], {}),
    "attribute outside UTF-8": ({"attributes": b'{"a":"\xff"}'}, [("attributes.a", "not_utf8")], {}),
    "unnamed attribute": ({"attributes": b'{"":1}'}, [("attributes", "bad_name")], {}),
    "attribute with a long name": ({"attributes": b"{" + LONG + b":1}"}, [("attributes", "bad_name")], {}),
    "lone surrogate in a name": ({"attributes": rb'{"\ud800":1}'}, [("attributes", "bad_name")], {}),
    "attributes as array": ({"attributes": b"[1]"}, [("attributes", "wrong_type")], {}),
    "two fields": (
        {"price": b"-1", "attributes": b'{"a":true}'}, [("price", "negative"), ("attributes.a", "wrong_type")], {}
    ),
}  # fmt: skip


def test_the_good_event_is_accepted() -> None:
    event = decode(KEY, raw(), NOW_MS)
    assert isinstance(event, BehaviorEvent)
    assert msgspec.structs.asdict(event) == GOOD | dict.fromkeys(["session_id", "category", "price", "attributes"])


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_record_is_rejected_with_field_and_value(kind: str) -> None:
    record, field, shown = BAD[kind]
    outcome = decode(record.key, record.value, record.timestamp)
    assert isinstance(outcome, Rejected), outcome
    assert outcome.field == field
    assert shown in outcome.reason
    if field != "value":
        assert field in outcome.reason
    assert len(outcome.reason) < 300
    outcome.reason.encode()


@pytest.mark.parametrize("kind", ACCEPTED)
def test_an_odd_but_valid_record_is_accepted(kind: str) -> None:
    value, expected = ACCEPTED[kind]
    event = decode(KEY, value, NOW_MS)
    assert isinstance(event, BehaviorEvent), event
    assert msgspec.structs.asdict(event).items() >= (GOOD | expected).items()


@pytest.mark.parametrize("kind", DROPPED)
def test_a_broken_optional_field_is_dropped_and_the_event_is_kept(kind: str) -> None:
    fields, lost, rest = DROPPED[kind]
    dropped: list[DroppedField] = []
    event = decode(KEY, raw(**fields), NOW_MS, dropped)
    assert isinstance(event, BehaviorEvent), event
    absent = dict.fromkeys(["session_id", "category", "price", "attributes"])
    assert msgspec.structs.asdict(event) == GOOD | absent | rest
    assert [(one.path, one.reason) for one in dropped] == lost
    assert all(one.field in DROPPABLE_FIELDS and one.event_id == "e1" and one.value for one in dropped)
    batch: list[DroppedField] = []
    assert decode_batch([Record(KEY, raw()), Record(KEY, raw(**fields))], batch)[1] == event
    assert batch == dropped


def test_a_rejected_record_has_no_dropped_fields() -> None:
    dropped: list[DroppedField] = []
    assert isinstance(decode(b"u2", raw(price=b"-1"), NOW_MS, dropped), Rejected)
    assert isinstance(decode(KEY, raw(price=b"-1", item_id=b"1"), NOW_MS, dropped), Rejected)
    assert dropped == []


def test_a_null_value_erases_the_user_of_the_key() -> None:
    assert decode("günther".encode(), None, NOW_MS) == Erasure("günther")
    longest = ("\U0001f600" * MAX_TEXT).encode()
    assert decode(longest, None, NOW_MS) == Erasure(longest.decode())


def test_a_batch_gives_the_outcome_of_each_record_in_order() -> None:
    records = []
    for record, _, _ in BAD.values():
        records += [Record(KEY, raw()), record]
    records.append(Record(KEY, None))
    assert decode_batch(records) == [decode(r.key, r.value, r.timestamp) for r in records]
    kinds = [type(outcome) for outcome in decode_batch(records)]
    assert kinds[1::2][:-1] == [Rejected] * (len(BAD) - 1)
    assert sum(issubclass(kind, BehaviorEvent) for kind in kinds) == len(BAD)
    assert kinds[-1] is Erasure


@given(st.integers(0, MAX_TIME_MS), st.integers(0, MAX_TIME_MS))
def test_an_event_lies_at_most_a_day_after_its_record(event_time_ms: int, timestamp_ms: int) -> None:
    outcome = decode(KEY, raw(event_time_ms=b"%d" % event_time_ms), timestamp_ms)
    assert isinstance(outcome, Rejected) == (event_time_ms > timestamp_ms + MAX_AHEAD_MS)
