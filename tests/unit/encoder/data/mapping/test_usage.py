"""What of a mapping finds nothing in records, and times that a wrong unit makes."""

from typing import Any

from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import Mapping, SourceRecord, parse_mapping
from encoder.data.mapping.proposals import Usage, closest_paths

MAPPING = """
each = "lines"
user = "user"
item = ["line:sku", "sku"]
action = "event"
time = { from = "at", unit = "ms" }
session = "visit"
category = ["line:group", "properties.categry"]
price = "line:prcie"
brand = "maker"

[[where]]
from = "kind"
in = ["track"]

[actions]
Seen = "view"
Boght = "buy"
Heartbeat = false
Paged = "page"

[attributes]
colour = "color"
"*" = "more"
"""
RECORD = {"kind": "track", "user": "u", "sku": "p", "event": "Seen", "at": 1_772_359_200_000}


def used(mapping: Mapping, *values: Any) -> Usage:
    usage = Usage(mapping)
    for value in values:
        record = SourceRecord(value)
        usage.add(record, mapping.judge(record))
    return usage


def mapping_of(text: str = MAPPING) -> Mapping:
    return parse_mapping(text, "f.toml", "f")


def test_a_field_that_no_event_has_is_absent_until_one_event_has_it() -> None:
    mapping = mapping_of()
    assert list(used(mapping, RECORD).absent_fields(())) == [
        "session", "category", "price", "brand", "attributes.colour", "attributes.*",
    ]  # fmt: skip
    full = {**RECORD, "visit": "s", "maker": "m", "color": "red", "more": {"size": 3}}
    lines = [{"sku": "a"}, {"sku": "b", "prcie": 2, "group": "g"}]
    assert list(used(mapping, RECORD, full).absent_fields(())) == ["category", "price"]
    assert list(used(mapping, full, {**RECORD, "lines": lines}).absent_fields(())) == []


def test_a_broken_field_is_no_absent_field() -> None:
    usage = used(mapping_of(), RECORD)
    left = usage.absent_fields(["session_id", "price", "attributes.brand", "attributes.colour"])
    assert list(left) == ["category", "attributes.*"]
    assert "attributes.*" not in usage.absent_fields(["attributes"])


def test_actions_are_seen_as_the_record_has_them() -> None:
    mapping = mapping_of()
    others = [{**RECORD, "event": "Heartbeat"}, {**RECORD, "event": "Paged", "kind": "page"}, {"user": 1}]
    usage = used(mapping, RECORD, *others)
    assert (list(usage.unseen_actions), usage.actions) == (["Boght", "Paged"], 4)
    usage.add(Rejection("value is not JSON", "value"), Rejection("value is not JSON", "value"))
    broken = {**RECORD, "event": "Boght", "at": "never"}
    assert list(used(mapping, RECORD, broken).unseen_actions) == ["Heartbeat", "Paged"]


def test_actions_of_lines_are_seen_in_the_lines() -> None:
    mapping = mapping_of(
        'each = "visit[].acts"\nuser = "user"\nitem = "line:sku"\naction = ["line:do", "parent:do"]\n'
        'time = "parent:at"\n[actions]\nlook = "view"\nbuy = "buy"\nleave = false\nwave = "view"\n'
    )
    visit = [
        {"at": "2026-03-01", "acts": [{"do": "look", "sku": "p"}, {"do": "leave"}]},
        {"at": "2026-03-01", "do": "buy", "acts": [{"sku": "p"}]},
    ]
    assert list(used(mapping, {"user": "u", "visit": visit}, {"user": "u"}).unseen_actions) == ["wave"]


def test_the_path_that_is_meant_is_found_in_the_value_and_in_lines() -> None:
    sources = mapping_of().plan
    record = {**RECORD, "properties": {"category": "g", "colour": "red"}, "lines": [{"price": 3}]}
    assert sources.category is not None
    assert sources.price is not None
    near = closest_paths([sources.category, sources.price, sources.user, sources.action], [SourceRecord(record)])
    assert near == ["properties.category", "line:price", None, None]


def test_early_times_count_only_where_the_mapping_names_a_unit() -> None:
    seconds = {**RECORD, "at": 1_772_359_200}
    usage = used(mapping_of(), RECORD, seconds, {**seconds, "at": 7})
    assert (usage.unit, usage.early, usage.first_early_ms) == ("ms", 2, 1_772_359_200)
    assert used(mapping_of(), RECORD).first_early_ms is None
    dates = mapping_of(MAPPING.replace('{ from = "at", unit = "ms" }', '"at"'))
    assert used(dates, {**RECORD, "at": "1999-01-01"}).early == 0
