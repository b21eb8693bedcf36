"""Records of the topic change the catalogue, and a broken record changes nothing but a count."""

import json
from typing import Any, NamedTuple

import pytest

from streams.serve.catalogue.reading import MOST_LOGGED, Reading


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    partition: int = 0
    offset: int = 42


def record(**fields: Any) -> Record:
    return Record(fields["item_id"].encode(), json.dumps(fields).encode())


def test_the_last_record_of_an_item_counts_and_a_null_value_removes_the_item() -> None:
    reading = Reading("items")
    reading.apply([record(item_id="a", name="A"), record(item_id="b"), record(item_id="a", name="B", new_field=1)])
    found = reading.catalogue.get("a")
    assert found is not None
    assert found.name == "B"
    reading.apply([Record(b"a", None), Record(b"unknown", None)])
    assert reading.catalogue.get("a") is None
    assert (reading.catalogue.items, reading.records, reading.broken) == (1, 5, 0)


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        (Record(b"a", b"{"), "not JSON"),
        (Record(b"a", b""), "value is empty"),
        (Record(b"a", b"[]"), "Expected `object`"),
        (Record(b"a", b'{"item_id":"b"}'), "the key is 'a' and item_id is \"b\""),
        (Record(None, b'{"item_id":"a"}'), "the key is null"),
        (Record(b"a", b'{"item_id":"a","price":-1}'), "price is -1"),
        (Record(b"a", b'{"item_id":"a","price":1e999}'), "price is inf"),
        (Record(b"a", b'{"item_id":"a","name":"\\ud800"}'), "half a surrogate pair"),
        (Record(b"a", b'{"item_id":"a","first_seen_ms":-1}'), "first_seen_ms is -1"),
        (Record(b"a", b'{"item_id":"a","name":"' + b"x" * 300_000 + b'"}'), "the limit is"),
        (Record(b"a", b"[" * 100_000), "value"),
        (Record(b"\xff", None), "not UTF-8"),
        (Record(None, None), "without a key"),
    ],
)
def test_a_broken_record_is_counted_and_logged_with_its_place_and_value(
    broken: Record, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    reading = Reading("items")
    reading.apply([record(item_id="a", name="A")])
    version = reading.catalogue.version
    reading.apply([broken])
    assert (reading.broken, reading.catalogue.version) == (1, version)
    assert "items partition 0 offset 42" in caplog.text
    assert part in caplog.text


def test_a_flood_of_broken_records_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    reading = Reading("items")
    reading.apply([Record(b"a", b"{")] * 1_000)
    assert reading.broken == 1_000
    assert len(caplog.records) == MOST_LOGGED + 1


def test_null_in_an_optional_field_means_that_the_field_is_absent() -> None:
    reading = Reading("items")
    reading.apply([record(item_id="a", name=None, available=None, price=None)])
    found = reading.catalogue.get("a")
    assert found is not None
    assert (found.available, found.name, found.price) == (True, None, None)
