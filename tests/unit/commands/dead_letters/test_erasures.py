"""Which dead letters belong to users who were erased later."""

import json
import time

import pytest

from streams.commands.dead_letters.erasures import Erasures, possible_user_ids
from streams.commands.dead_letters.letter import SourcePosition
from streams.contracts.dead_letters import ERASED_HEADER, decode_headers, erasure_marker, user_hash
from streams.contracts.fields import MAX_VALUE_BYTES

USER = 'günther "g" o\\'
EVENT = {"event_id": "e1", "user_id": USER, "item_id": "i1", "action": "view", "event_time_ms": 1}
BEFORE = SourcePosition(epoch=0, partition=2, offset=9, timestamp_ms=5_000)


def erasures(
    user: str = USER, offset: int = 10, partition: int = 2, timestamp_ms: int = 5_000, epoch: int = 0
) -> Erasures:
    found = Erasures()
    found.add_marker(decode_headers(erasure_marker(user, epoch, offset)), partition, timestamp_ms)
    return found


def test_a_marker_holds_only_the_hash_of_its_user() -> None:
    headers = decode_headers(erasure_marker(USER, 3, 10))
    assert headers == {
        ERASED_HEADER: user_hash(USER.encode()),
        "thalweg-epoch": "3",
        "thalweg-offset": "10",
    }
    assert len(headers[ERASED_HEADER]) == 64


def test_the_key_alone_names_the_user() -> None:
    for key in (USER.encode(), json.dumps(USER).encode()):
        assert erasures().covers(BEFORE, possible_user_ids(key, b"not JSON"))
        assert erasures().covers(BEFORE, possible_user_ids(key, None))
    for key in (None, b"", b"g\xff", USER.encode()[:-1]):
        assert not erasures().covers(BEFORE, possible_user_ids(key, b"not JSON"))


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
def test_a_broken_value_still_names_its_user(kind: str) -> None:
    value = VALUES[kind].encode()
    assert erasures().covers(BEFORE, possible_user_ids(None, value))
    assert erasures().covers(BEFORE, possible_user_ids(b"another", value))
    assert not erasures("other").covers(BEFORE, possible_user_ids(None, value))


@pytest.mark.parametrize(
    "value", [b'{"user_id": 42}', b'{"user_id": 42, "item', b'{"user_id":42}}', b"{'user_id': '42'}", b"user_id=42;"]
)
def test_an_id_is_found_without_the_quotes_of_json(value: bytes) -> None:
    assert erasures("42").covers(BEFORE, possible_user_ids(None, value))
    assert not erasures("4").covers(BEFORE, possible_user_ids(None, value))


def test_other_fields_of_an_event_name_no_user() -> None:
    value = json.dumps(EVENT | {"item_id": "gone", "category": "gone"}).encode()
    assert not erasures("gone").covers(BEFORE, possible_user_ids(None, value))


def test_offsets_decide_in_the_partition_of_the_erasure_and_timestamps_in_others() -> None:
    def covered(partition: int, offset: int, timestamp_ms: int) -> bool:
        return erasures().covers(
            SourcePosition(0, partition, offset, timestamp_ms), possible_user_ids(USER.encode(), b"")
        )

    assert covered(2, 9, 9_999)
    assert not covered(2, 10, 0)
    assert not covered(2, 11, 0)
    assert covered(0, 99, 5_000)
    assert not covered(0, 1, 5_001)


def test_timestamps_decide_in_another_incarnation_of_the_topic() -> None:
    """Offsets began again at 0, so the letter's offset lies behind that of the erasure which came later."""
    found = erasures(epoch=1, offset=3)
    assert found.covers(SourcePosition(0, 2, 99, 4_000), possible_user_ids(USER.encode(), b""))
    assert not found.covers(SourcePosition(2, 2, 1, 6_000), possible_user_ids(USER.encode(), b""))


def test_records_of_before_the_epoch_was_written_count_as_of_the_first_incarnation() -> None:
    found = Erasures()
    found.add_marker({ERASED_HEADER: user_hash(USER.encode()), "thalweg-offset": "10"}, 2, 5_000)
    assert found.covers(SourcePosition(0, 2, 9, 9_000), possible_user_ids(USER.encode(), b""))
    assert not found.covers(SourcePosition(0, 2, 11, 0), possible_user_ids(USER.encode(), b""))
    assert not found.covers(SourcePosition(1, 2, 9, 9_000), possible_user_ids(USER.encode(), b""))


def test_every_erasure_counts_and_a_repeated_marker_keeps_its_first_timestamp() -> None:
    found = erasures(offset=10)
    found.add_marker(decode_headers(erasure_marker(USER, 0, 20)), 2, 7_000)
    found.add_marker(decode_headers(erasure_marker(USER, 0, 20)), 2, 9_000)
    assert found.covers(SourcePosition(0, 2, 15, 0), possible_user_ids(USER.encode(), b""))
    assert not found.covers(SourcePosition(0, 2, 21, 0), possible_user_ids(USER.encode(), b""))
    assert found.covers(SourcePosition(0, 0, 0, 7_000), possible_user_ids(USER.encode(), b""))
    assert not found.covers(SourcePosition(0, 0, 0, 8_000), possible_user_ids(USER.encode(), b""))


@pytest.mark.parametrize("piece", [b'"', b'\\"', b"\\", b"'", b"x", b"[", b'{"user_id":', b"user_id=\"'", b"user_id"])
def test_no_value_raises_or_takes_long(piece: bytes) -> None:
    value = (piece * MAX_VALUE_BYTES)[:MAX_VALUE_BYTES]
    began = time.perf_counter()
    possible_user_ids(value[:2048], value)
    assert time.perf_counter() - began < 2.0
