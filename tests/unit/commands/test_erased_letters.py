"""Which dead letters an erasure covers."""

import json
import time

import pytest

from streams.commands.erased_letters import Erasures, Place, users_named
from streams.contracts.dead_letters import ERASED_HEADER, decode_headers, erasure_marker, user_hash
from streams.contracts.fields import MAX_VALUE_BYTES

USER = 'günther "g" o\\'
EVENT = {"event_id": "e1", "user_id": USER, "item_id": "i1", "action": "view", "event_time_ms": 1}
BEFORE = Place(partition=2, offset=9, timestamp_ms=5_000)


def erasures(user: str = USER, offset: int = 10, partition: int = 2, timestamp_ms: int = 5_000) -> Erasures:
    found = Erasures()
    found.add(decode_headers(erasure_marker(user, offset)), partition, timestamp_ms)
    return found


def test_a_marker_names_its_user_by_hash_alone() -> None:
    headers = decode_headers(erasure_marker(USER, 10))
    assert headers == {ERASED_HEADER: user_hash(USER.encode()), "thalweg-offset": "10"}
    assert len(headers[ERASED_HEADER]) == 64


def test_the_key_is_enough() -> None:
    for key in (USER.encode(), json.dumps(USER).encode()):
        assert erasures().cover(BEFORE, key, b"no JSON")
        assert erasures().cover(BEFORE, key, None)
    for key in (None, b"", b"g\xff", USER.encode()[:-1]):
        assert not erasures().cover(BEFORE, key, b"no JSON")


VALUES = {
    "an event": json.dumps(EVENT),
    "without escapes": json.dumps(EVENT, ensure_ascii=False),
    "of other types": json.dumps(EVENT | {"item_id": 7, "price": float("nan"), "event_time_ms": None}),
    "half a surrogate pair": json.dumps(EVENT | {"item_id": "\ud800"}),
    "as an object": json.dumps(EVENT | {"user_id": {"id": USER}}),
    "in a list": json.dumps([1, EVENT]),
    "encoded twice": json.dumps(json.dumps(EVENT)),
    "first of two": json.dumps(EVENT)[:-1] + ', "user_id": "another"}',
    "cut off": json.dumps(EVENT)[:-20],
    "cut off, without escapes": json.dumps(EVENT, ensure_ascii=False)[:-20],
    "a quote too few": json.dumps(EVENT).replace('"event_id"', 'event_id"'),
    "with trailing text": json.dumps(EVENT) + "}",
    "too deep to be read": json.dumps(EVENT)[:-1] + ', "extra": ' + "[" * 100_000,
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_names_its_user_also_where_it_is_broken(kind: str) -> None:
    value = VALUES[kind].encode()
    assert erasures().cover(BEFORE, None, value)
    assert erasures().cover(BEFORE, b"another", value)
    assert not erasures("other").cover(BEFORE, None, value)


@pytest.mark.parametrize(
    "value", [b'{"user_id": 42}', b'{"user_id": 42, "item', b'{"user_id":42}}', b"{'user_id': '42'}", b"user_id=42;"]
)
def test_an_id_is_found_without_the_quotes_of_json(value: bytes) -> None:
    assert erasures("42").cover(BEFORE, None, value)
    assert not erasures("4").cover(BEFORE, None, value)


def test_another_field_of_an_event_names_no_user() -> None:
    value = json.dumps(EVENT | {"item_id": "gone", "category": "gone"}).encode()
    assert not erasures("gone").cover(BEFORE, None, value)


def test_offsets_decide_in_the_erasures_partition_and_times_elsewhere() -> None:
    def covered(partition: int, offset: int, timestamp_ms: int) -> bool:
        return erasures().cover(Place(partition, offset, timestamp_ms), USER.encode(), b"")

    assert covered(2, 9, 9_999)
    assert not covered(2, 10, 0)
    assert not covered(2, 11, 0)
    assert covered(0, 99, 5_000)
    assert not covered(0, 1, 5_001)


def test_each_of_several_erasures_counts_and_a_repeated_one_with_its_first_time() -> None:
    found = erasures(offset=10)
    found.add(decode_headers(erasure_marker(USER, 20)), 2, 7_000)
    found.add(decode_headers(erasure_marker(USER, 20)), 2, 9_000)
    assert found.cover(Place(2, 15, 0), USER.encode(), b"")
    assert not found.cover(Place(2, 21, 0), USER.encode(), b"")
    assert found.cover(Place(0, 0, 7_000), USER.encode(), b"")
    assert not found.cover(Place(0, 0, 8_000), USER.encode(), b"")


@pytest.mark.parametrize("piece", [b'"', b'\\"', b"\\", b"'", b"x", b"[", b'{"user_id":', b"user_id=\"'", b"user_id"])
def test_no_value_raises_or_takes_long(piece: bytes) -> None:
    value = (piece * MAX_VALUE_BYTES)[:MAX_VALUE_BYTES]
    began = time.perf_counter()
    users_named(value[:2048], value)
    assert time.perf_counter() - began < 2.0
