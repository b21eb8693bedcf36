"""CSV and Parquet files whose columns do not have the names of the contract."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoder.data.loaders import load_log
from encoder.data.loaders.columns.mapping import ColumnMapping
from encoder.errors import InputError
from streams.commands.replay.log_records import LogRecords

BEAUTY = Path(__file__).parents[5] / "shared/data/beauty/beauty.csv.gz"
BEAUTY_COLUMNS = "user_id=user,item_id=item,event_time_ms=ts[s],action:=rate"


def write(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_mapping_is_parsed() -> None:
    columns = ColumnMapping.parse("user_id=user, event_time_ms = ts[iso],action:=rate,attributes.brand=a=b")
    assert columns.column_of == {"user_id": "user", "event_time_ms": "ts", "attributes.brand": "a=b"}
    assert (columns.time_unit, columns.action, columns.has_numbered_columns) == ("iso", "rate", False)
    assert ColumnMapping.parse("event_time_ms=t").time_unit == "ms"
    assert ColumnMapping.parse("action=kind").action is None
    assert ColumnMapping.parse("user_id=#1,item_id=#2").has_numbered_columns


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user", "'user' in the columns 'user' is not of the form FIELD=COLUMN"),
        ("user_id=", "not of the form"),
        ("user_id=u,,item_id=i", "'' in the columns"),
        ("user=u", "'user' in the columns 'user=u' is not a field: use event_id, user_id"),
        ("attributes.=u", "is not a field"),
        ("attributes=u", "is not a field"),
        ("user_id:=u", "is not a field"),
        ("user_id=u,user_id=v", "'user_id' stands twice"),
        ("action:=view,action=kind", "'action' stands twice"),
        ("event_time_ms=t[h]", r"unit \[h\].*use \[s\], \[ms\], \[iso\]"),
    ],
)
def test_an_invalid_mapping_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        ColumnMapping.parse(text)


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
def test_csv_columns_are_mapped_by_name(tmp_path: Path, separator: str) -> None:
    rows = [
        ["who", "what", "when", "kind", "cost", "maker", "category"],
        ["ann", "shoe", "1396437466.94", "view", "3.50", "Aurora", "feet"],
        ["bob", "sock", "1396437465", "buy", "", "", ""],
        ["bob", "sock", "yesterday", "buy", "", "", ""],
        ["bob", "sock", "1396437467", "buy", "dear", "", ""],
        ["bob", "sock"],
    ]
    path = write(tmp_path, "\n".join(separator.join(row) for row in rows))
    columns = "user_id=who,item_id=what,event_time_ms=when[s],action=kind,price=cost,attributes.brand=maker"
    log, report = load_log(path, columns=columns)
    assert (report.kept, report.unparsable) == (3, 2)
    for example, why in zip(report.examples, ("time 'yesterday'", "2 instead of 7 columns"), strict=True):
        assert why in example
    assert 'without price (not a number): 1 events, first line 5: "dear"' in str(report)
    bob, ann, dear = log.events()
    assert (dear.event_time_ms, dear.price) == (1_396_437_467_000, None)
    assert (ann.user_id, ann.item_id, ann.action) == ("ann", "shoe", "view")
    # The column category needs no mapping.
    assert (ann.event_time_ms, ann.price, ann.category) == (
        1_396_437_466_940,
        3.5,
        "feet",
    )
    assert (ann.attributes, bob.attributes) == ({"brand": "Aurora"}, None)
    assert (bob.event_time_ms, bob.price, bob.category) == (1_396_437_465_000, None, None)
    records = list(LogRecords(path, columns=columns))
    assert [key for key, _ in records] == [b"bob", b"bob", b"ann", b"bob", b"bob"]
    assert json.loads(records[2][1])["event_id"] == ann.event_id
    assert records[4][1] == separator.join(rows[5]).encode()


def test_csv_columns_with_the_names_of_the_contract_need_no_mapping(tmp_path: Path) -> None:
    header = "\ufeffevent_id,user_id,item_id,action,event_time_ms,session_id,other"
    path = write(tmp_path, f'{header}\ne7,u,"a, b",view,5,,x\ne7,u,c,view,6,,x\n,u,c,view,6,,x\n')
    log, report = load_log(path)
    (event,) = log.events()
    assert (event.event_id, event.item_id, event.event_time_ms, event.session_id) == ("e7", "a, b", 5, None)
    assert (report.duplicates, report.unparsable) == (1, 1)
    assert 'event_id is ""' in report.examples[0]


def test_csv_without_a_header_is_mapped_by_column_number(tmp_path: Path) -> None:
    path = write(tmp_path, "ann shoe,2014-04-07,x\nbob,2014-04-07T00:00:01+01:00,y\n", "log.dat")
    columns = "user_id=#1,event_time_ms=#2[iso],item_id=#3,action:=see"
    events = list(load_log(path, "csv", columns)[0].events())
    assert [(e.user_id, e.item_id, e.action, e.event_time_ms) for e in events] == [
        ("bob", "y", "see", 1_396_825_201_000),
        ("ann shoe", "x", "see", 1_396_828_800_000),
    ]
    for columns, absent in (
        ("user_id=#1,item_id=#9", "#9, action, event_time_ms"),
        ("user_id=#1,item_id=b", "b, action"),
    ):
        with pytest.raises(InputError, match=f"has no column {absent}.* it has: #1, #2, #3; name the columns"):
            load_log(path, "csv", columns)


def test_a_fixed_action_overrides_a_column_of_that_name(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,action,event_time_ms\nu,i,buy,5\n")
    assert load_log(path)[0].actions == ["buy"]
    assert load_log(path, columns="action:=see")[0].actions == ["see"]
    with pytest.raises(InputError, match="format rees46: only csv, jsonl, parquet take columns"):
        load_log(path, "rees46", "action:=see")


def write_parquet(folder: Path, columns: dict[str, Any]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder / "log.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_columns_are_mapped_by_name(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path,
        {
            "user": [7, 8, 9, 9, 9],
            "item": [4.0, None, 4.5, 5.0, 5.0],  # pandas writes integers as floats in a column with nulls
            "ts": [1_396_437_466.94, 1_396_437_466.0, 1_396_437_466.0, 1_396_437_467.0, None],
            "brand": ["Aurora", None, None, None, None],
            "size": [4, 4, None, None, None],
            "extra": [b"\xff", None, None, None, None],
        },
    )
    columns = "user_id=user,item_id=item,event_time_ms=ts[s],action:=rate,attributes.brand=brand,attributes.size=size"
    log, report = load_log(path, columns=columns)
    assert (report.kept, report.unparsable) == (2, 3)
    first, second = log.events()
    assert (first.user_id, first.item_id, first.action) == ("7", "4", "rate")
    assert (first.event_time_ms, first.attributes) == (1_396_437_466_940, {"brand": "Aurora", "size": "4"})
    assert (second.user_id, second.event_time_ms, second.attributes) == ("9", 1_396_437_467_000, None)
    records = list(LogRecords(path, columns=columns))
    assert [key for key, _ in records] == [b"7", b"8", b"9", b"9", b"9"]
    assert json.loads(records[0][1])["attributes"] == {"brand": "Aurora", "size": 4}
    assert json.loads(records[1][1])["user"] == 8
    with pytest.raises(InputError, match="has no column user_id, item_id, action, event_time_ms, it has: user, item"):
        load_log(path)


@pytest.mark.parametrize(("unit", "zone"), [("ns", None), ("us", "Europe/Berlin"), ("s", None), ("date", None)])
def test_parquet_timestamps_need_no_unit(tmp_path: Path, unit: str, zone: str | None) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
    kind = pyarrow.date32() if unit == "date" else pyarrow.timestamp(unit, zone)
    at = pyarrow.array([1_396_396_800_123_456_789, None]).cast(pyarrow.timestamp("ns")).cast(kind, safe=False)
    path = write_parquet(tmp_path, {"user_id": ["u", "v"], "item_id": ["i", "i"], "action": ["see", "see"], "at": at})
    log, report = load_log(path, columns="event_time_ms=at[s]")
    assert log.time_ms.tolist() == [1_396_396_800_000 + (123 if unit in ("ns", "us") else 0)]
    assert report.unparsable == 1


@pytest.mark.skipif(not BEAUTY.exists(), reason=f"no log at {BEAUTY}; it is not part of the project")
def test_events_of_a_real_log_with_equal_times_keep_the_order_of_the_file() -> None:
    log, report = load_log(BEAUTY, "csv", BEAUTY_COLUMNS + ",attributes.pos=pos")
    assert (report.kept, report.unparsable, report.duplicates) == (198_502, 0, 0)
    assert (len(log.user_ids), len(log.item_ids), log.actions) == (22_363, 12_101, ["rate"])
    names, codes = log.attributes["pos"]
    position = np.array([int(name) for name in names])[codes]
    by_user = np.argsort(log.user, kind="stable")
    steps = np.diff(position[by_user])[np.diff(log.user[by_user]) == 0]
    assert (steps == 1).all()  # each user's reviews are in the published order
