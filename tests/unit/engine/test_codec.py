"""The codec rejects each kind of bad record with a reason that names the field. test_codec_fuzz tests any input."""

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    "Latin-1": (Record(KEY, raw(category='"Schönes"'.encode("latin-1"))), "value", r"\xf6"),
    "overlong UTF-8": (Record(KEY, raw(category=b'"\xc0\x80"')), "value", r"\xc0"),
    "surrogate as UTF-8": (Record(KEY, raw(category=b'"\xed\xa0\x80"')), "value", r"\xed"),
    "lone high surrogate": (Record(KEY, raw(category=rb'"\ud83d"')), "category", r"\ud83d"),
    "lone low surrogate": (Record(KEY, raw(category=rb'"a\ude00b"')), "category", r"a\ude00b"),
    "lone surrogate in a name": (Record(KEY, raw(attributes=rb'{"\ud800":1}')), "attributes", r"\ud800"),
    "control character": (Record(KEY, raw(category=b'"a\x01b"')), "value", r"a\x01b"),
    "NaN": (Record(KEY, raw(price=b"NaN")), "price", "nan"),
    "Infinity": (Record(KEY, raw(price=b"-Infinity")), "price", "-inf"),
    "NaN attribute": (Record(KEY, raw(attributes=b'{"stock":NaN}')), "attributes", "nan"),
    "NaN in an unknown field": (Record(KEY, raw(**{"": b"NaN"})), "value", "'' is nan"),
    "lone surrogate in an unknown name": (Record(KEY, raw()[:-1] + rb',"\ud800":1}'), "value", r"\ud800"),
    "price beyond a float": (Record(KEY, raw(price=b"1e999")), "price", "1e999"),
    "price of 400 digits": (Record(KEY, raw(price=b"9" * 400)), "price", "9999"),
    "negative price": (Record(KEY, raw(price=b"-0.5")), "price", "-0.5"),
    "price as text": (Record(KEY, raw(price=b'"12.50"')), "price", '"12.50"'),
    "attribute beyond 64 bits": (Record(KEY, raw(attributes=b'{"n":18446744073709551616}')), "attributes", "18446744"),
    "null attribute": (Record(KEY, raw(attributes=b'{"brand":null}')), "attributes", '{"brand":null}'),
    "boolean attribute": (Record(KEY, raw(attributes=b'{"new":true}')), "attributes", '{"new":true}'),
    "nested attribute": (Record(KEY, raw(attributes=b'{"a":{"b":1}}')), "attributes", '{"a":{"b":1}}'),
    "unnamed attribute": (Record(KEY, raw(attributes=b'{"":1}')), "attributes", '{"":1}'),
    "attributes as array": (Record(KEY, raw(attributes=b"[1]")), "attributes", "[1]"),
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
    "long category": (Record(KEY, raw(category=b'"' + b"c" * (MAX_TEXT + 1) + b'"')), "category", "cccc"),
    "negative time": (Record(KEY, raw(event_time_ms=b"-1")), "event_time_ms", "-1"),
    "fractional time": (Record(KEY, raw(event_time_ms=b"1700000000000.5")), "event_time_ms", "1700000000000.5"),
    "time as float": (Record(KEY, raw(event_time_ms=b"1.7e12")), "event_time_ms", "1.7e12"),
    "time as text": (Record(KEY, raw(event_time_ms=b'"2023-11-14"')), "event_time_ms", '"2023-11-14"'),
    "boolean time": (Record(KEY, raw(event_time_ms=b"true")), "event_time_ms", "true"),
    "null time": (Record(KEY, raw(event_time_ms=b"null")), "event_time_ms", "null"),
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
