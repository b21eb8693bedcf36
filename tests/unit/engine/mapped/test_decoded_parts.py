"""A value of which only the part is decoded that the mapping reads has the outcome of the whole value."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.data.mapping import load_mapping, parse_mapping, preset_names
from streams.engine.payload.mapped_decoder import MappedDecoder
from streams.engine.payload.reader import JsonReader
from tests.support.mapped.segment import START_MS, calls
from tests.support.processing import Record

PATHS = """
each = "cart.lines"
user = ["who.id", "key:"]
item = ["line:sku", "line:product.id", "first[0].sku", "params[key=item].value"]
action = "what"
time = { from = "at", unit = "ms" }
category = "page.kind"
price = "line:price"

[attributes]
whole = "page"
"*" = "extra"
"""
LISTS_IN_LISTS = PATHS.replace('"cart.lines"', '"carts[].lines"')
HASHED_LINES = PATHS.replace("item =", 'event_id = { hash = ["cart.lines"] }\nitem =')
HASHED = 'user = "who"\nitem = "sku"\naction = "what"\ntime = "at"'

texts = st.sampled_from(["i1", "i2", "", '{"id": "i3"}', '[{"sku": "i4"}]', "view"])
leaves = st.one_of(texts, st.none(), st.booleans(), st.integers(-5, 10**13), st.floats(0, 9, allow_nan=False))
NAMES = ["who", "id", "cart", "carts", "lines", "sku", "product", "first", "params", "key", "value", "what", "at"]
names = st.sampled_from([*NAMES, "page", "kind", "extra", "price", "other"])
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=5)),
    max_leaves=12,
)
line = st.fixed_dictionaries({"sku": texts}, optional={"price": leaves, "product": values, "other": leaves})
shaped = st.fixed_dictionaries(
    {"what": st.just("view"), "at": st.just(START_MS)},
    optional={
        "who": st.one_of(st.fixed_dictionaries({"id": texts}), values),
        "cart": st.one_of(st.fixed_dictionaries({"lines": st.lists(line, max_size=3)}), values),
        "carts": st.one_of(st.lists(st.fixed_dictionaries({"lines": st.lists(line, max_size=2)}), max_size=2), values),
        "first": st.one_of(st.lists(line, max_size=2), values),
        "page": values,
        "extra": values,
        "other": values,
    },
)


def assert_same(text: str, value: Any) -> None:
    mapping = parse_mapping(text, "the test", "shop")
    record = Record(b"i9", value if isinstance(value, bytes) else msgspec.json.encode(value), 0, START_MS)
    parts_lost: list[Any] = []
    whole_lost: list[Any] = []
    parts = MappedDecoder(mapping, JsonReader(mapping.value_type), JsonReader()).decode_batch([record], parts_lost)
    whole = MappedDecoder(mapping, JsonReader()).decode_batch([record], whole_lost)
    assert repr(parts) == repr(whole)
    assert parts_lost == whole_lost


@given(st.one_of(shaped, values))
@pytest.mark.parametrize("text", [PATHS, LISTS_IN_LISTS, HASHED_LINES, HASHED])
def test_the_part_has_the_outcome_of_the_whole(text: str, value: Any) -> None:
    assert_same(text, value)


@pytest.mark.parametrize(
    "value",
    [
        b'{"what": "view", "at": 1764547200000, "who": {"id": "a", "id": "b"}, "cart": {"lines": [{"sku": "x"}]}}',
        b'{"what": "view", "at": 1764547200000, "who": 1, "who": {"id": "b"}, "cart": {"lines": "[{\\"sku\\": 1}]"}}',
        b'{"what": "view", "at": 1764547200000, "who": {"id": "b"}, "cart": {"lines": [{"sku": "x"}, 7, null]}}',
        b'{"what": "view", "at": NaN, "who": {"id": "b"}, "other": NaN, "cart": {"lines": [{"sku": "x"}]}}',
        b'{"what": "view", "at": 1764547200000, "other": {"a": [}, "cart": {"lines": [{"sku": "x"}]}}',
    ],
)
def test_repeated_names_texts_with_json_and_broken_json(value: bytes) -> None:
    assert_same(PATHS, value)


def test_the_preset_of_segment_decodes_a_part_and_a_mapping_that_hashes_the_record_decodes_everything() -> None:
    [call] = calls(1, 1, 5, foreign=0)
    segment = load_mapping("segment")
    part = msgspec.json.decode(call.value, type=segment.value_type)
    assert "userAgent" not in str(part)
    assert "brand" in str(part)
    assert parse_mapping(HASHED, "the test", "shop").value_type is Any


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_a_type_that_can_be_decoded(name: str) -> None:
    assert msgspec.json.decode(b"{}", type=load_mapping(name).value_type) == {}
