"""Avro values as plain objects: types, logical types, schemas that name each other, and bytes that are no value."""

import contextlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.payload.avro_values import avro_decoder
from tests.tools.schema_registry.written import avro

ID = 7
TEXTS = st.text(max_size=20)
# A type of Avro, and values of the type that JSON and Avro both have
PLAIN: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("double", st.floats(allow_nan=False)),
    ("string", TEXTS),
    ("bytes", st.binary(max_size=20)),
    ({"type": "array", "items": "long"}, st.lists(st.integers(-100, 100), max_size=4)),
    ({"type": "map", "values": "string"}, st.dictionaries(TEXTS, TEXTS, max_size=4)),
    (["null", "string"], st.none() | TEXTS),
    (
        {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "int"}]},
        st.fixed_dictionaries({"x": st.just(3)}),
    ),
    ({"type": "enum", "name": "Kind", "symbols": ["VIEW", "CART"]}, st.sampled_from(["VIEW", "CART"])),
]


def record(**types: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Event", "fields": [{"name": name, "type": one} for name, one in types.items()]}


def read(schema: Any, value: Any) -> Any:
    return avro_decoder([json.dumps(schema)])(avro(ID, schema, value))


@st.composite
def records(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a schema of a record and a value of the schema."""
    chosen = draw(st.lists(st.sampled_from(range(len(PLAIN))), unique=True, max_size=len(PLAIN)))
    schema = record(**{f"f{one}": PLAIN[one][0] for one in chosen})
    return schema, {f"f{one}": draw(PLAIN[one][1]) for one in chosen}


@given(records())
def test_a_written_value_is_read(schema_and_value: tuple[dict[str, Any], dict[str, Any]]) -> None:
    schema, value = schema_and_value
    assert read(schema, value) == value


@given(records(), st.data())
def test_bytes_that_are_cut_or_too_long_are_refused_or_are_another_value(
    schema_and_value: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject
) -> None:
    schema, value = schema_and_value
    written = avro(ID, schema, value)
    decode = avro_decoder([json.dumps(schema)])
    with pytest.raises(ValueError, match="the value ends at byte"):
        decode(written + b"\0")
    if len(written) > 5:
        with pytest.raises(ValueError, match=r"."):
            decode(written[: data.draw(st.integers(5, len(written) - 1))])


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_value_error(body: bytes) -> None:
    decode = avro_decoder([json.dumps(record(**{f"f{at}": one for at, (one, _) in enumerate(PLAIN)}))])
    with contextlib.suppress(ValueError):
        assert isinstance(decode(b"\0\0\0\0\7" + body), dict)


@pytest.mark.parametrize(
    ("logical", "value", "expected"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, datetime(2026, 1, 2, tzinfo=UTC), 1767312000000),
        ({"type": "long", "logicalType": "timestamp-micros"}, datetime(2026, 1, 2, 0, 0, 0, 5999, UTC), 1767312000005),
        ({"type": "long", "logicalType": "timestamp-micros"}, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), -1),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, datetime(2026, 1, 2), 1767312000000),
        ({"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}, Decimal("-12.34"), -12.34),
        ({"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 8}, Decimal(5), 5.0),
        ({"type": "string", "logicalType": "uuid"}, UUID(int=5), str(UUID(int=5))),
        ({"type": "int", "logicalType": "date"}, date(2026, 1, 2), "2026-01-02"),
        ({"type": "int", "logicalType": "time-millis"}, 5, 5),
        ({"type": "string", "logicalType": "nobody-knows-this"}, "x", "x"),
    ],
)
def test_logical_types_become_what_an_event_needs(logical: Any, value: Any, expected: Any) -> None:
    for schema in (logical, ["null", logical], {"type": "array", "items": logical}):
        given_value = [value] if isinstance(schema, dict) and schema["type"] == "array" else value
        found = read(record(x=schema), {"x": given_value})["x"]
        assert (found[0] if isinstance(found, list) else found) == expected
        assert type(found[0] if isinstance(found, list) else found) is type(expected)


def test_schemas_may_name_types_of_other_schemas() -> None:
    money = {"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "cents", "type": "long"}]}
    item = {"type": "record", "name": "Item", "namespace": "shop", "fields": [{"name": "price", "type": "Money"}]}
    event = {"type": "record", "name": "Event", "namespace": "shop", "fields": [{"name": "item", "type": "shop.Item"}]}
    whole = {**event, "fields": [{"name": "item", "type": {**item, "fields": [{"name": "price", "type": money}]}}]}
    decode = avro_decoder([json.dumps(one) for one in (money, item, event)])
    value = {"item": {"price": {"cents": 250}}}
    assert decode(avro(ID, whole, value)) == value
    with pytest.raises(ValueError, match=r"cannot be used: .*Item"):
        avro_decoder([json.dumps(event)])


def test_a_broken_schema_is_refused() -> None:
    for schema in ("{", '{"type":"record"}', '"shop.Nowhere"', "5"):
        with pytest.raises(ValueError, match=r"."):
            avro_decoder([schema])


def test_a_decimal_with_a_negative_scale_is_refused() -> None:
    """A registry takes the schema, because Avro says to ignore a logical type that is not valid."""
    decode = avro_decoder(['{"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": -1}'])
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        decode(b"\0\0\0\0\7\2\1")


CHAIN = record(next=["null", "Event"], at={"type": "long", "logicalType": "timestamp-micros"})
MUTUAL = record(
    shops={"type": "map", "values": {"type": "array", "items": record(shop=["null", "Event"]) | {"name": "Shop"}}}
)


def test_a_recursive_schema_is_read() -> None:
    value = {"next": {"next": None, "at": datetime(2026, 1, 2, tzinfo=UTC)}, "at": datetime(2026, 1, 2, tzinfo=UTC)}
    assert read(CHAIN, value) == {"next": {"next": None, "at": 1767312000000}, "at": 1767312000000}
    assert read(MUTUAL, {"shops": {"a": [{"shop": {"shops": {}}}]}}) == {"shops": {"a": [{"shop": {"shops": {}}}]}}


@pytest.mark.parametrize(("schema", "level"), [(CHAIN, b"\2"), (MUTUAL, b"\2\2a\2\2")])
def test_a_value_that_is_nested_too_deep_is_refused(schema: Any, level: bytes) -> None:
    """400 levels do no harm to fastavro's compiled reader, and are too many for the reader in Python."""
    decode = avro_decoder([json.dumps(schema)])
    with pytest.raises(ValueError, match="RecursionError"):
        decode(b"\0\0\0\0\7" + level * 400 + b"\0")


def test_a_schema_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="the Avro schema cannot be used: RecursionError"):
        avro_decoder(['{"type": "array", "items": ' * 5_000 + '"int"' + "}" * 5_000])
