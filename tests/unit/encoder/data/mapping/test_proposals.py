"""Proposals of mappings from samples: every proposal is a file that loads, and reads the sample."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import Mapping, SourceRecord, parse_mapping
from encoder.data.mapping.proposals import Proposal, Reading, propose, read_sample
from encoder.data.mapping.proposals.toml_text import path_text, toml_key, toml_value

TRACK = {
    "type": "track",
    "messageId": "m-1",
    "anonymousId": "a-1",
    "event": "Product Viewed",
    "timestamp": "2026-03-01T10:00:00Z",
    "properties": {"product_id": "p-1"},
}


def proposed(values: list[Any], **record: Any) -> tuple[Proposal, Mapping, Reading]:
    sample: list[SourceRecord | Rejection] = [SourceRecord(value, **record) for value in values]
    proposal = propose(sample, "topic shop")
    assert proposal.missing == (), proposal.text
    mapping = parse_mapping(proposal.text, "proposed.toml", "proposed")
    return proposal, mapping, read_sample(mapping, sample, 10)


def test_a_preset_is_recognised_by_its_shape_with_foreign_records_among_the_others() -> None:
    others = [{**TRACK, "event": "Cart Viewed"}, {**TRACK, "type": "identify"}, {"foreign": 1}]
    proposal, _, reading = proposed([TRACK] * 97 + others)
    assert proposal.preset == "segment"
    assert 'extends = "segment"' in proposal.text
    assert '# "Cart Viewed" = "..." (1 record)' in proposal.text
    kept = proposal.text.replace('# "Cart Viewed" = "..."', '"Cart Viewed" = "look" #')
    (event,) = parse_mapping(kept, "f", "f").judge(SourceRecord(others[0]))
    assert event.action == "look"
    assert (reading.records, reading.read, reading.skipped.total()) == (100, 97, 3)


def test_events_of_the_contract_are_recognised() -> None:
    event = {"event_id": "e", "user_id": "u", "item_id": "i", "action": "view", "event_time_ms": 1_772_359_200_000}
    assert proposed([event])[0].preset == "contract"


def test_an_envelope_is_recognised_and_its_data_is_found_by_name() -> None:
    head = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "viewed", "time": "2026-03-01T10:00:00Z"}
    proposal, _, reading = proposed([{**head, "data": {"customer": {"id": 7}, "sku": "p-1", "cost": "3.50"}}] * 3)
    assert proposal.preset == "cloudevents"
    event = reading.first_events[0]
    assert (event.user_id, event.item_id, event.price, event.action) == ("7", "p-1", 3.5, "viewed")
    after = {"visitor": {"id": "v"}, "article_id": 3, "kind": "x", "event_name": "look"}
    row = {"op": "c", "after": {"id": 1, **after}, "source": {"table": "t", "ts_ms": 1_772_359_200_000}}
    proposal, _, reading = proposed([row, row])
    assert proposal.preset == "debezium"
    event = reading.first_events[0]
    assert (event.user_id, event.item_id, event.action, event.event_id) == ("v", "3", "look", "t:1")


def test_fields_are_found_by_their_names_and_values() -> None:
    values = [
        {
            "Id": f"e{number}",
            "Customer": {"Id": number % 3} if number % 2 else None,
            "guest.id": f"g{number}",
            "evt": {"Name": "ProductView" if number else "heartbeat", "Time": 1_772_359_200_000_000 + number},
            "lines": [{"SKU": "p-1", "unit_price": "2,50"}, {"SKU": "p-2"}] if number else [],
            "Brand": "Woody",
            "note": "x",
        }
        for number in range(10)
    ]
    proposal, _, reading = proposed(values)
    assert proposal.preset is None
    assert 'each = "lines"' in proposal.text
    assert 'item = "line:SKU"' in proposal.text
    assert "user = [" in proposal.text
    assert '"Customer.Id", "\\"guest.id\\""]' in proposal.text
    assert 'time = { from = "evt.Time", unit = "us" }' in proposal.text
    assert 'ProductView = "view"' in proposal.text
    assert "heartbeat = false # 1 record, 1 without an item" in proposal.text
    assert (reading.read, reading.events) == (9, 18)
    first, second = reading.first_events[:2]
    assert (first.event_id, first.user_id, first.item_id, first.price) == ("e1#1", "1", "p-1", 2.5)
    assert (second.event_time_ms, second.attributes) == (1_772_359_200_000, {"brand": "Woody"})


def test_the_record_stands_in_for_what_its_value_lacks() -> None:
    proposal, _, reading = proposed([{"sku": "p-1"}, {"sku": "p-2"}], key=b"u-1", timestamp_ms=1_772_359_200_000)
    assert 'user = "key:"' in proposal.text
    assert 'time = "timestamp:"' in proposal.text
    assert 'action = { const = "view" }' in proposal.text
    first, second = reading.first_events
    assert (first.user_id, first.action, first.event_time_ms) == ("u-1", "view", 1_772_359_200_000)
    assert first.event_id != second.event_id


def test_what_no_field_looks_like_is_said() -> None:
    proposal = propose([SourceRecord({"a": 1}), Rejection("value is not JSON", "value")], "f.jsonl")
    assert proposal.missing == ("user", "item", "time")
    assert '# user = "PATH", but no field looks like the user' in proposal.text
    assert propose([], "f.jsonl").missing == ("user", "item", "time")


NAMES = st.sampled_from(["user_id", "item", "ts", "a.b", 'q"', "key:id", "event", "x y", "[0]", "ключ", "\x7f", "e\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "v", "2026-03-01", "\x7f\n", "7"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100)
@given(values=st.lists(VALUES, max_size=5), key=st.none() | st.binary(max_size=4))
def test_every_complete_proposal_is_a_mapping(values: list[Any], key: bytes | None) -> None:
    proposal = propose([SourceRecord(value, key, (), 1_772_359_200_000) for value in values], "topic \x1b[0m")
    assert "\x1b" not in proposal.text
    if not proposal.missing:
        parse_mapping(proposal.text, "proposed.toml", "proposed")


@pytest.mark.parametrize("name", ["a.b", "key:id", "x y", "[0]", "ключ", "\x7f", "e\n", "line:sku"])
def test_a_proposed_path_reads_its_field(name: str) -> None:
    values = [{"sku": "p", "ts": 1_772_359_200, name: {"user_id": number}} for number in range(3)]
    _, _, reading = proposed(values)
    assert [event.user_id for event in reading.first_events] == ["0", "1", "2"]


@settings(max_examples=60)
@given(
    names=st.lists(st.text(st.characters(exclude_characters='"', codec="utf-8"), min_size=1), min_size=1, max_size=4)
)
def test_every_name_without_a_quote_has_a_path(names: list[str]) -> None:
    """Names of a record come from outside, and stand in the text of TOML and in the code of the mapping."""
    path = toml_value(path_text(names))
    text = f'user = {path}\nitem = "i"\naction = {{ const = "a" }}\ntime = "t"\n'
    text += f"[attributes]\n{toml_key(names[0])} = {path}"
    value: Any = "u"
    for name in reversed(names):
        value = {name: value}
    mapping = parse_mapping(text, "f", "f")
    judged = mapping.judge(SourceRecord({"i": "p", "t": 1_772_359_200_000, **value}))
    if names[0] not in ("i", "t"):
        assert isinstance(judged, tuple), judged
        assert judged[0].user_id == "u"
        assert names[0] == "*" or judged[0].attributes == {names[0]: "u"}


def test_rejections_are_counted_by_kind() -> None:
    mapping = parse_mapping('extends = "contract"', "f", "f")
    event = {"event_id": "e", "user_id": "u", "item_id": "i", "action": "view", "event_time_ms": 1_772_359_200_000}
    broken = [{**event, "user_id": "x" * (513 + number)} for number in range(3)]
    missing = [{name: value for name, value in event.items() if name != "item_id"}] * 2
    sample = [SourceRecord(value) for value in [*broken, *missing, {**event, "price": -1}]]
    reading = read_sample(mapping, [*sample, Rejection("value is not JSON: no", "value")])
    assert sorted(reading.rejected.values()) == [1, 2, 3]
    assert reading.records == reading.read + reading.skipped.total() + reading.rejected.total() == 7
    assert dict(reading.dropped) == {"price (negative)": 1}
    assert msgspec.json.encode(reading.first_events) == b"[]"


def test_lines_below_a_name_with_a_colon_are_read() -> None:
    value = {"user": "u", "ts": 1_772_359_200, "shop:order": {"shop:lines": [{"sku": "p-1"}, {"sku": "p-2"}]}}
    _, _, reading = proposed([value])
    assert [event.item_id for event in reading.first_events] == ["p-1", "p-2"]


def test_a_decimal_with_many_digits_is_a_number() -> None:
    values = [{"user": "u", "ts": 1_772_359_200, "sku": Decimal("1" + 30 * "0"), "price": Decimal("1.50")}]
    _, _, reading = proposed(values)
    ((item, price),) = [(event.item_id, event.price) for event in reading.first_events]
    assert (item, price) == (str(10**30), 1.5)
