"""Event logs in files: which rows are kept, counted as errors, and replayed."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.loaders import load_log
from encoder.errors import InputError
from streams.commands.replay.log_records import LogRecords
from streams.engine.codec import decode

REES46 = Path(__file__).parents[5] / "shared/data/rees46/2019-Oct.csv.gz"
HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
ROWS = [
    "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde",
    "2019-10-01 00:00:05 UTC,cart,1307067,2053013558920217191,computers.notebook,,,550050854,7c90fc70",
    "2019-10-01 00:00:04 UTC,purchase,1004237,2053013555631882655,electronics.smartphone,apple,1081.98,535871217,c6bd",
    '2019-10-01 00:00:05 UTC,view,17,2053,"a,b",apple,1.00,535871217,',
]
BROKEN = [
    "2019-10-01 00:00:06 UTC,view,10900305,2053013555069845885,appliances.kitchen.mixer,elenberg,25.71,52040330",
    "2019-10-01 25:00:06 UTC,view,1,2,,,1.0,3,4",
    "2019-10-01 00:00:06 UTC,view,,2,,,1.0,3,4",
]
ODD_PRICES = [
    "2019-10-01 00:00:06 UTC,view,1,2,,,cheap,3,4",
    "2019-10-01 00:00:06 UTC,view,1,2,,,-17.94,3,4",
    "2019-10-01 00:00:06 UTC,view,1,2,,,-3.50,3,4",
    "2019-10-01 00:00:06 UTC,view,1,2,,,inf,3,4",
    "2019-10-01 00:00:06 UTC,view,1,2,,,nan,3,4",
    "2019-10-01 00:00:06 UTC,view,1,2,,,EUR 11.76,3,4",
    '2019-10-01 00:00:06 UTC,view,1,2,,,"2,06",3,4',
    "2019-10-01 00:00:06 UTC,view,1,2,,,40.37 €,3,4",
]


def write_rees46(folder: Path, rows: list[str], name: str = "log.csv") -> Path:
    path = folder / name
    content = "\n".join([HEADER, *rows, ""]).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_rees46_columns_and_times_and_missing_values_are_read(tmp_path: Path, name: str) -> None:
    log, report = load_log(write_rees46(tmp_path, ROWS, name), "rees46")
    assert (report.rows, report.kept, report.unparsable, report.duplicates) == (4, 4, 0, 0)
    events = list(log.events())
    # Sorted by time, and by row within the same time.
    assert [event.item_id for event in events] == ["44600062", "1004237", "1307067", "17"]
    assert events[0].event_time_ms == 1_569_888_000_000
    assert (events[0].category, events[0].price, events[0].session_id) == (None, 35.79, "72d76fde")
    assert events[0].attributes == {"category_id": "2103807459595387724", "brand": "shiseido"}
    assert (events[2].category, events[2].price) == ("computers.notebook", None)
    assert events[2].attributes == {"category_id": "2053013558920217191"}
    assert (events[3].category, events[3].session_id) == ("a,b", None)


def test_rees46_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    _, report = load_log(write_rees46(tmp_path, ROWS + BROKEN), "rees46")
    assert (report.rows, report.kept, report.unparsable) == (7, 4, 3)
    assert report.examples[0].startswith("line 6: 8 instead of 9 columns: 2019-10-01 00:00:06 UTC,view,10900305")
    for example, reason in zip(report.examples[1:], ("25:00:06", 'item_id is ""'), strict=True):
        assert reason in example


def test_an_odd_price_is_read_or_missing_and_never_costs_the_event(tmp_path: Path) -> None:
    path = write_rees46(tmp_path, ODD_PRICES)
    log, report = load_log(path, "rees46")
    assert (report.kept, report.unparsable) == (8, 0)
    assert [event.price for event in log.events()] == [None, None, None, None, None, 11.76, 2.06, 40.37]
    for line in (
        "  without price (negative): 2 events, first line 3: -17.94",
        '  without price (not a number): 1 events, first line 2: "cheap"',
        "  without price (not finite): 1 events, first line 5: Infinity",
    ):
        assert line in str(report).splitlines()
    assert len(str(report).splitlines()) == 4  # a price of NaN is a missing price
    taken = [decode(key, value, int(time.time() * 1000)) for key, value in LogRecords(path, "rees46")]
    assert taken == [msgspec.convert(msgspec.structs.asdict(event), IncomingEvent) for event in log.events()]


def test_rees46_rows_are_replayed_in_order_of_time_and_broken_rows_unchanged(tmp_path: Path) -> None:
    path = write_rees46(tmp_path, ROWS[:3] + BROKEN[:1])
    records = list(LogRecords(path, "rees46"))
    assert [key for key, _ in records] == [b"541312140", b"535871217", b"52040330", b"550050854"]
    assert [json.loads(records[row][1])["item_id"] for row in (0, 1, 3)] == ["44600062", "1004237", "1307067"]
    assert records[2][1] == BROKEN[0].encode()  # it stays behind the row before it
    assert records == list(LogRecords(path, "rees46"))


def test_the_header_of_a_rees46_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("user,item\n1,2\n")
    with pytest.raises(InputError, match="does not begin as a REES46 log: found 'user,item'"):
        load_log(path, "rees46")


@pytest.mark.skipif(not REES46.exists(), reason=f"the public log is not at {REES46}")
def test_the_counts_of_a_real_rees46_log_add_up() -> None:
    log, report = load_log(REES46, "rees46")
    # The last row is cut off.
    assert (report.rows, report.kept, report.unparsable, report.duplicates) == (
        17_435,
        17_434,
        1,
        0,
    )
    assert len(log) == 17_434
    assert dict(zip(log.actions, np.bincount(log.action).tolist(), strict=True)) == {
        "view": 17_055,
        "purchase": 214,
        "cart": 165,
    }
    assert int(np.isnan(log.price).sum()) == 0
    first = sum(1 for _ in LogRecords(REES46, "rees46", first=0.7))
    rest = sum(1 for _ in LogRecords(REES46, "rees46", rest=0.7))
    assert first + rest == report.rows
    assert [first, rest - 1] == [len(part) for part in log.split(0.7)]


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "user_id": f"u{number % 2}",
        "item_id": f"i{number}",
        "action": "view",
        "event_time_ms": 1_000 + number,
        **changes,
    }


def write_lines(folder: Path, lines: list[bytes], name: str = "log.jsonl") -> Path:
    path = folder / name
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


BAD_LINES = [
    (b"nonsense", b""),
    (json.dumps(event(5)).encode()[:-9], b"u1"),
    (json.dumps(event(5, item_id=None)).encode(), b"u1"),
    (json.dumps(event(5, user_id=None)).encode(), b""),
    (json.dumps(event(5, event_time_ms=-1)).encode(), b"u1"),
    (json.dumps(event(5, event_time_ms=10**17)).encode(), b"u1"),
    (json.dumps(event(5, event_time_ms=1.5)).encode(), b"u1"),
    (json.dumps(event(5, event_time_ms=float("nan"))).encode(), b"u1"),
    (json.dumps(event(5, user_id="")).encode(), b""),
    (b'{"user_id": "u1", "attributes": ' + b"[" * 100_000, b"u1"),
    (b'{"user_id": "u1", "item_id": "\xff"}', b"u1"),
    (b'{"user_id": "\\ud800", "item_id": "x"}', b""),
]


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_good_jsonl_lines_are_kept_and_others_are_counted(tmp_path: Path, name: str) -> None:
    good = [
        json.dumps(event(n, attributes={"brand": "B", "size": 4, "item_name": f"Item {n}"})).encode() for n in (3, 1)
    ]
    path = write_lines(tmp_path, [good[0], *(line for line, _ in BAD_LINES), good[1], good[0]], name)
    log, report = load_log(path)
    assert (report.kept, report.unparsable, report.duplicates) == (2, len(BAD_LINES), 1)
    assert report.rows == len(BAD_LINES) + 3
    assert [found.event_id for found in log.events()] == ["e1", "e3"]
    assert log.item_names == {"i1": "Item 1", "i3": "Item 3"}
    assert next(log.events()).attributes == {"brand": "B", "size": "4", "item_name": "Item 1"}
    assert report.examples[1].startswith("line 3: ")
    assert "12 unparsable" in str(report)


def test_jsonl_lines_are_replayed_unchanged(tmp_path: Path) -> None:
    good = json.dumps(event(3), indent=None).encode()
    lines = [good, *(line for line, _ in BAD_LINES), good]
    records = list(LogRecords(write_lines(tmp_path, lines)))
    assert [value for _, value in records] == lines
    assert [key for key, _ in records] == [b"u1", *(key for _, key in BAD_LINES), b"u1"]


def test_first_and_rest_together_replay_the_whole_file(tmp_path: Path) -> None:
    times = [5, 1, 9, 2, 8, 3, 7, 4, 6, 0]
    lines = [json.dumps(event(n, event_time_ms=at)).encode() for n, at in enumerate(times)]
    lines.insert(3, b"after 9, so with the rest")
    path = write_lines(tmp_path, lines)
    first = [value for _, value in LogRecords(path, first=0.7)]
    rest = [value for _, value in LogRecords(path, rest=0.7)]
    assert [json.loads(value)["event_time_ms"] for value in first] == [5, 1, 2, 3, 4, 6, 0]
    assert sorted(first + rest) == sorted(lines)
    assert rest[:2] == [lines[2], lines[3]]
    with pytest.raises(InputError, match="give one of them"):
        list(LogRecords(path, first=0.1, rest=0.9))


def test_parquet_columns_with_the_names_of_the_contract_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [event(n, price=1.5 if n else None, attributes={"brand": "B", "size": None}) for n in range(3)]
    path = tmp_path / "log.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([*rows, event(7, user_id=None)]), path)
    log, report = load_log(path)
    assert (report.kept, report.unparsable) == (3, 1)
    found = list(log.events())
    assert [(e.event_id, e.price, e.attributes) for e in found] == [
        ("e0", None, {"brand": "B"}),
        ("e1", 1.5, {"brand": "B"}),
        ("e2", 1.5, {"brand": "B"}),
    ]
    records = list(LogRecords(path))
    assert [key for key, _ in records] == [b"u0", b"u1", b"u0", b""]
    assert json.loads(records[1][1])["item_id"] == "i1"


def test_an_error_names_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the event log .*absent"):
        load_log(tmp_path / "absent.jsonl")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(event(1)).encode() * 50)[:-20])
    with pytest.raises(InputError, match="check the path and that the file is whole"):
        load_log(cut)
    with pytest.raises(InputError, match=r"unknown log format 'xls'.*jsonl, .*parquet, rees46"):
        load_log(cut, "xls")


@pytest.mark.parametrize("rows", [3, 5_000])
def test_a_file_of_another_format_is_not_replayed(tmp_path: Path, rows: int) -> None:
    csv = write_rees46(tmp_path, (ROWS * rows)[: rows - 1], "log.txt")
    with pytest.raises(InputError) as caught:
        LogRecords(csv)  # the error comes before the first record is requested
    named = (str(csv), "format jsonl", f"first {min(rows, 1000)} rows", "line 1 is 'event_time,event_type", "malformed")
    for part in (*named, "otto, parquet, rees46"):
        assert part in str(caught.value)
    far_future = [json.dumps(event(n, event_time_ms=10**14)).encode() for n in range(rows)]
    with pytest.raises(InputError, match="a day ahead of the clock"):
        LogRecords(write_lines(tmp_path, far_future), first=0.5)


def test_a_file_is_a_log_if_one_of_its_first_rows_is_an_event(tmp_path: Path) -> None:
    lines = [b"no JSON"] * 999 + [json.dumps(event(1)).encode()] + [b"no JSON"] * 9_000
    assert [value for _, value in LogRecords(write_lines(tmp_path, lines))] == lines
    lines[999], lines[1000] = lines[1000], lines[999]
    with pytest.raises(InputError, match="none of its first 1000 rows"):
        LogRecords(write_lines(tmp_path, lines))
    assert list(LogRecords(write_lines(tmp_path, []))) == []


def test_an_empty_file_is_an_empty_log(tmp_path: Path) -> None:
    log, report = load_log(write_lines(tmp_path, []))
    assert (len(log), report.rows, list(log.events())) == (0, 0, [])
