"""What the keys of a mapping file do."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import Skipped, SkipReason, SourceRecord, parse_mapping, preset_names
from encoder.data.mapping.document import KEYS
from encoder.data.mapping.mapping import Mapping
from encoder.data.mapping.sources import source

FLAT = {"user": '"user"', "item": '"item"', "action": '"action"', "time": '"time"', "event_id": '"id"'}
RECORD = {"user": "u", "item": "i", "action": "view", "time": "2026-03-01T10:00:00Z", "id": "e"}
TIME_MS = 1_772_359_200_000


def mapping_of(more: str = "", **keys: str) -> Mapping:
    """A flat mapping. keys: the TOML of other values. more: TOML at the end."""
    lines = [f"{key} = {value}" for key, value in {**FLAT, **keys}.items()]
    return parse_mapping("\n".join([*lines, more]), "shop.toml", "shop")


def read(mapping: Mapping, **changed: Any) -> dict[str, Any]:
    fields = mapping.read(SourceRecord({**RECORD, **changed}))
    assert isinstance(fields, tuple), fields
    return fields[0]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("user", {"user": "u"}, "u"),
        ("a.b.c", {"a": {"b": {"c": "u"}}}, "u"),
        ('a."b.c"', {"a": {"b.c": "u", "b": {"c": "wrong"}}}, "u"),
        ('"a b".c', {"a b": {"c": "u"}}, "u"),
        ("items[0].id", {"items": [{"id": "u"}, {"id": "wrong"}]}, "u"),
        ("items[-1].id", {"items": [{"id": "wrong"}, {"id": "u"}]}, "u"),
        ("items[2].id", {"items": [{"id": "wrong"}]}, None),
        ("params[key=user].value.text", {"params": [{"key": "x"}, {"key": "user", "value": {"text": "u"}}]}, "u"),
        ("params[key=user].value", {"params": [3, None, {"value": 1}]}, None),
        ("[1].user", [{}, {"user": "u"}], "u"),
        ("a.b", {"a": '{"b": "u"}'}, "u"),  # a text with JSON
        ("a[0].b", {"a": '[{"b": "u"}]'}, "u"),
        ("a.b", {"a": "no JSON"}, None),
        ("a.b", {"a": ["no object"]}, None),
        ("a.b", "no object", None),
        ("value:key", {"key": "u"}, "u"),
        ("ns:user", {"ns:user": "u"}, "u"),  # a name with a colon that resembles no place
    ],
)
def test_paths(path: str, value: Any, expected: str | None) -> None:
    mapping = mapping_of(user=f"'{path}'", item="{const='i'}", action="{const='a'}", time="{const=2026-03-01}")
    fields = mapping.read(SourceRecord(value))
    if expected is None:
        assert fields == mapping.judge(SourceRecord(value))
        assert isinstance(fields, Rejection)
        assert fields.field == "user_id"
        assert fields.reason.startswith(f"user_id is missing: no {path} in ")
    else:
        assert isinstance(fields, Rejection)  # The record has no id.
        assert fields.field == "event_id"


@pytest.mark.parametrize(
    ("source", "record", "expected"),
    [
        ("'key:'", {"key": b"u"}, "u"),
        ("'key:payload.id'", {"key": b'{"payload":{"id":7}}'}, "7"),
        ("{from='key:', pattern='user:(.+)'}", {"key": b"user:u-1"}, "u-1"),
        ("{from='key:', pattern='user:(.+)'}", {"key": b"shop:u-1"}, None),
        ("'header:User'", {"headers": [("user", b"old"), ("USER", b"new")]}, "new"),
        ("'header:User'", {"headers": [("user", None)]}, None),
        ("'header:User'", {}, None),
        ("['key:', 'user']", {}, "u"),
        ("['key:', 'user']", {"key": b""}, "u"),
        ("{join=['user','item']}", {}, "u:i"),
        ("{join=['user','nothing']}", {}, None),
        ("[{join=['user','nothing']}, {join=['item', 'user'], separator='/'}]", {}, "i/u"),
        ("{const='all'}", {}, "all"),
        ("['nothing', {const='nobody'}]", {}, "nobody"),
    ],
)
def test_sources(source: str, record: dict[str, Any], expected: str | None) -> None:
    fields = mapping_of(user=source).read(SourceRecord(RECORD, **record))
    if expected is None:
        assert isinstance(fields, Rejection)
        assert fields.field == "user_id"
    else:
        assert isinstance(fields, tuple)
        assert fields[0]["user_id"] == expected


def test_a_key_that_is_not_utf_8_is_rejected_by_the_judge() -> None:
    judged = mapping_of(user="'key:'").judge(SourceRecord(RECORD, key=b"\xff"))
    assert isinstance(judged, Rejection)
    assert judged.field == "user_id"


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        ("'time'", "2026-03-01T10:00:00Z", TIME_MS),
        ("'time'", "2026-03-01T11:00:00.250+01:00", TIME_MS + 250),
        ("'time'", "2026-03-01 10:00:00", TIME_MS),
        ("'time'", "20260301T100000Z", TIME_MS),
        ("'time'", TIME_MS, TIME_MS),
        ("'time'", str(TIME_MS), TIME_MS),
        ("'time'", datetime(2026, 3, 1, 10, tzinfo=UTC), TIME_MS),
        ("'time'", 1_772_359_200, "would lie before 2001-09-09"),
        ("'time'", "yesterday", "neither a number nor a date"),
        ("'time'", [1], "neither a number nor a text"),
        ("{from='time', unit='s'}", 1_772_359_200, TIME_MS),
        ("{from='time', unit='s'}", 1_772_359_200.25, TIME_MS + 250),
        ("{from='time', unit='s'}", Decimal("1772359200.25"), TIME_MS + 250),
        ("{from='time', unit='s'}", "1772359200", TIME_MS),
        ("{from='time', unit='s'}", "17723592", 17_723_592_000),  # eight digits are no date
        ("{from='time', unit='s'}", "2026-03-01T10:00:00Z", TIME_MS),
        ("{from='time', unit='ms'}", 5, 5),
        ("{from='time', unit='us'}", 1_772_359_200_000_999, TIME_MS),
        ("{from='time', unit='ns'}", 1_772_359_200_000_999_999, TIME_MS),
        ("{from='time', unit='s'}", 1e400, "neither a number nor a text"),
        ("['nothing', 'timestamp:']", None, TIME_MS + 7),
        ("{from=['nothing', 'timestamp:'], unit='s'}", None, TIME_MS + 7),  # the timestamp has its own unit
    ],
)
def test_times(source: str, value: Any, expected: int | str) -> None:
    mapping = mapping_of(time=source)
    fields = mapping.read(SourceRecord({**RECORD, "time": value}, timestamp_ms=TIME_MS + 7))
    if isinstance(expected, str):
        assert isinstance(fields, Rejection)
        assert (fields.field, expected in fields.reason) == ("event_time_ms", True), fields.reason
    else:
        assert isinstance(fields, tuple)
        assert fields[0]["event_time_ms"] == expected


def test_a_record_without_a_timestamp_has_no_time_of_the_record() -> None:
    fields = mapping_of(time="'timestamp:'").read(SourceRecord(RECORD))
    assert isinstance(fields, Rejection)
    assert fields.reason.startswith("event_time_ms is missing: no timestamp: in ")


@given(time=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.timezones()))
def test_iso_times_are_those_of_the_standard_library(time: datetime) -> None:
    since_epoch = time - datetime(1970, 1, 1, tzinfo=UTC)
    assert read(mapping_of(), time=time.isoformat())["event_time_ms"] == since_epoch // (datetime.resolution * 1000)


def test_ids_that_are_no_texts_become_texts() -> None:
    mapping = mapping_of()
    number = "12345678-1234-5678-1234-567812345678"
    assert [read(mapping, user=user)["user_id"] for user in (7, 7.0, UUID(number), b"u")] == ["7", "7", number, "u"]
    assert isinstance(mapping.judge(SourceRecord({**RECORD, "user": True})), Rejection)
    assert isinstance(mapping.judge(SourceRecord({**RECORD, "user": {"id": 1}})), Rejection)


def test_actions_are_renamed_dropped_or_kept() -> None:
    renamed = mapping_of('[actions]\n"Product Viewed" = "view"\n"7" = "seven"\n')
    assert read(renamed, action="Product Viewed")["action"] == "view"
    assert read(renamed, action=7)["action"] == "seven"
    assert renamed.read(SourceRecord({**RECORD, "action": "Other"})) == Skipped(SkipReason.ACTION, '"Other"')
    kept = mapping_of('[actions]\n"Product Viewed" = "view"\nheartbeat = false', other_actions='"keep"')
    assert [read(kept, action=action)["action"] for action in ("Product Viewed", "Other")] == ["view", "Other"]
    assert isinstance(kept.read(SourceRecord({**RECORD, "action": "heartbeat"})), Skipped)
    only_dropped = mapping_of("[actions]\nheartbeat = false")
    assert read(only_dropped, action="Other")["action"] == "Other"
    for broken in (None, ["view"], {"a": 1}):
        rejection = renamed.read(SourceRecord({**RECORD, "action": broken}))
        assert isinstance(rejection, Rejection)
        assert rejection.field == "action"


def test_conditions_and_missing_fields() -> None:
    mapping = mapping_of('[[where]]\nfrom = "op"\nin = ["c", "1"]\n', skip_without='["item"]')
    assert read(mapping, op="c")["item_id"] == "i"
    assert read(mapping, op=1)["item_id"] == "i"
    assert mapping.read(SourceRecord({**RECORD, "op": "d"})) == Skipped(SkipReason.FILTER, 'op is "d"')
    assert mapping.read(SourceRecord({**RECORD, "op": ["c"]})) == Skipped(SkipReason.FILTER, 'op is ["c"]')
    assert mapping.read(SourceRecord({**RECORD, "op": "c", "item": None})) == Skipped(
        SkipReason.MISSING, "item_id: no item"
    )
    assert isinstance(mapping.read(SourceRecord({**RECORD, "op": "c", "user": None})), Rejection)


def test_attributes_and_prices() -> None:
    mapping = mapping_of(
        'brand = "maker"\n[attributes]\n"*" = "more"\nsize = "size"\ncolor = ["more.colour", "color"]\n', price='"cost"'
    )
    more = {"size": 1, "colour": "red", "weight": Decimal("2.5"), "day": datetime(2026, 3, 1).date(), "flag": True}
    fields = read(mapping, maker="Woody", size="XL", more=more, cost="EUR 2,50")
    assert fields["price"] == 2.5
    assert fields["attributes"] == {
        **more,
        "size": "XL",
        "color": "red",
        "brand": "Woody",
        "weight": 2.5,
        "day": "2026-03-01",
    }
    (event,) = mapping.judge(SourceRecord({**RECORD, "more": more}))
    assert event.attributes == {"size": 1, "colour": "red", "color": "red", "weight": 2.5, "day": "2026-03-01"}
    lost: list[Any] = []
    mapping.judge(SourceRecord({**RECORD, "more": ["no object"], "cost": "free"}), lost)
    assert sorted(one.field for one in lost) == ["attributes", "price"]


def test_lines() -> None:
    each = mapping_of(
        '[actions]\nview = "view"\nbuy = "purchase"',
        each='"order.lines"',
        item="'line:sku'",
        action="['line:do','action']",
    )
    lines = [{"sku": "a"}, {"sku": 7, "do": "buy"}, {"sku": "c", "do": "look"}, {"sku": "d"}]
    events = each.judge(SourceRecord({**RECORD, "order": {"lines": lines}}))
    assert [(one.event_id, one.item_id, one.action) for one in events] == [
        ("e#1", "a", "view"),
        ("e#2", "7", "purchase"),
        ("e#4", "d", "view"),
    ]
    as_text = '[{"sku": "a"}]'
    assert each.judge(SourceRecord({**RECORD, "order": {"lines": as_text}})) == (events[0],)
    assert each.judge(SourceRecord({**RECORD, "order": {"lines": tuple(lines[:1])}})) == (events[0],)
    broken = each.judge(SourceRecord({**RECORD, "order": {"lines": [*lines, {"name": "no sku"}]}}))
    assert isinstance(broken, Rejection)
    assert broken.reason.startswith("line 5: item_id is missing: no line:sku in ")
    long = each.judge(SourceRecord({**RECORD, "order": {"lines": [*lines[:1], {"sku": "x" * 600}]}}))
    assert isinstance(long, Rejection)
    assert long.reason.startswith("line 2: item_id is ")
    assert each.judge(SourceRecord({**RECORD, "order": {"lines": []}})).reason == SkipReason.NO_LINES
    dropped = each.judge(SourceRecord({**RECORD, "order": {"lines": lines[2:3]}}))
    assert dropped == Skipped(SkipReason.ACTION, '"look"')
    for wrong in (7, {"sku": "a"}, "text"):
        assert each.judge(SourceRecord({**RECORD, "order": {"lines": wrong}})).field == "value"
    assert each.judge(SourceRecord(RECORD)).field == "item_id"  # without a list there is no line


def test_lines_with_ids_of_their_own_keep_them() -> None:
    each = mapping_of(each='"lines"', item="'line:sku'", event_id="'line:id'")
    events = each.judge(SourceRecord({**RECORD, "lines": [{"sku": "a", "id": 1}, {"sku": "b", "id": 2}]}))
    assert [one.event_id for one in events] == ["1", "2"]


def test_lines_in_lists_have_parents() -> None:
    each = mapping_of(each='"visit[].items"', item="['line:sku', 'parent:sku']", action="'parent:do'")
    visit = [{"do": "view", "sku": "a"}, {"do": "buy", "items": [{"sku": "b"}, {"sku": "c"}]}, {"do": "x", "items": []}]
    events = each.judge(SourceRecord({**RECORD, "visit": visit[:2]}))
    assert [(one.event_id, one.item_id, one.action) for one in events] == [
        ("e#1", "a", "view"),
        ("e#2", "b", "buy"),
        ("e#3", "c", "buy"),
    ]
    rejection = each.judge(SourceRecord({**RECORD, "visit": visit}))
    assert isinstance(rejection, Rejection)
    assert rejection.reason.startswith("line 4: item_id is missing")
    assert each.judge(SourceRecord({**RECORD, "visit": [{"items": 3}]})).field == "value"


def test_ids_by_hash_do_not_depend_on_the_order_of_names() -> None:
    lines = [f"{key} = {value}" for key, value in FLAT.items() if key != "event_id"]
    mapping = parse_mapping("\n".join(lines), "shop.toml", "shop")
    other_order = dict(reversed(RECORD.items()))
    ids = [
        mapping.judge(SourceRecord(value, key=key, headers=headers, timestamp_ms=ms))[0].event_id
        for value, key, headers, ms in [
            (RECORD, b"k", (), 1),
            (other_order, b"k", [("trace", b"1")], 2),
            ({**RECORD, "more": 1}, b"k", (), 1),
            (RECORD, b"other", (), 1),
        ]
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert len(ids[0]) == 24
    odd = mapping.judge(SourceRecord({**RECORD, "more": "\ud800", "when": datetime(2026, 3, 1), "n": 10**30}))
    assert isinstance(odd, tuple)
    chosen = mapping_of(event_id="{hash=['user','item','nothing']}")
    assert read(chosen, more=1)["event_id"] == read(chosen)["event_id"] != read(chosen, item="j")["event_id"]


def test_an_erasure_names_its_user_where_the_user_stands_in_the_key() -> None:
    assert mapping_of().erased_user(b"u") is None
    assert mapping_of(user="'key:'").erased_user(b"u") == "u"
    assert mapping_of(user="['user', 'key:id']").erased_user(b'{"id": 7}') == "7"
    assert mapping_of(user="'key:id'").erased_user(b"no JSON") is None
    assert mapping_of(user="'key:'").erased_user(None) is None
    assert mapping_of(user="'key:'").read(SourceRecord(None, b"u")).reason == SkipReason.TOMBSTONE


def test_the_fingerprint_is_that_of_the_meaning() -> None:
    assert mapping_of().fingerprint == mapping_of('description = "shop"').fingerprint
    assert mapping_of().fingerprint != mapping_of(price='"price"').fingerprint
    extended = parse_mapping('extends = "segment"\nprice = false\n[actions]\n"Wished" = "wish"', "shop.toml", "shop")
    track = {"type": "track", "userId": "u", "messageId": "m", "timestamp": RECORD["time"]}
    record = {**track, "event": "Wished", "properties": {"product_id": "p", "price": 3}}
    (event,) = extended.judge(SourceRecord(record))
    assert (event.action, event.price) == ("wish", None)
    assert extended.judge(SourceRecord({**record, "event": "Product Viewed"}))[0].action == "view"


def test_the_mappings_of_the_page_can_be_used() -> None:
    text = (Path(__file__).parents[5] / "docs" / "mapping.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        parse_mapping(block, "docs/mapping.md", "page")
    named = {key for key, _ in re.findall(r"^\| (`[^|]*`) \| (.*)$", text, re.MULTILINE)}
    keys = {key.strip("`[] ") for cell in named for key in cell.split(",")}
    assert {*KEYS} <= keys
    assert set(preset_names()) <= keys


def test_the_hash_of_a_record_is_computed_once_for_all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hash for each line, an order of 10,000 lines would take 10,000 times as long to hash."""
    hashed: list[int] = []

    def count(data: bytes, digest_size: int) -> Any:
        hashed.append(len(data))
        return blake2b(data, digest_size=digest_size)

    monkeypatch.setattr(source, "blake2b", count)
    text = 'each = "lines"\nuser = "key:"\nitem = "line:sku"\naction = { const = "view" }\ntime = "timestamp:"\n'
    mapping = parse_mapping(text, "lines.toml", "lines")
    hashed.clear()
    orders = [{"lines": [{"sku": f"p-{number % 5}"} for number in range(count)]} for count in (300, 300, 299)]
    ids = []
    for key, value in zip((b"u-1", b"u-2", b"u-2"), orders, strict=True):
        judged = mapping.judge(SourceRecord(value, key, (), 1_772_359_200_000), [])
        assert isinstance(judged, tuple)
        ids.append(judged[0].event_id)
    assert len(hashed) == 3
    assert len(set(ids)) == 3
