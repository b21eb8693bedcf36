"""Files as other programs write them: quotes, encodings, blank lines, and numbers that went through a float column."""

import datetime
import gzip
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from encoder.data.events import BehaviorEvent
from encoder.data.loaders import format_from_name, load_log
from encoder.data.loaders.log_report import LogReport
from encoder.data.loaders.text.cells import split_cells
from encoder.errors import InputError
from streams.commands.replay.log_records import LogRecords

HEADER = "user_id,item_id,action,event_time_ms"
TIME_MS = 1_700_000_000_000


def write(folder: Path, content: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(folder: Path, columns: dict[str, Any], name: str = "log.parquet") -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder / name
    parquet.write_table(pyarrow.table(columns), path)
    return path


def read(path: Path, *options: str) -> tuple[list[BehaviorEvent], LogReport]:
    log, report = load_log(path, *options)
    return list(log.events()), report


@pytest.mark.parametrize(
    ("text", "separator", "cells"),
    [
        ('u\t"Untitled\t7', "\t", ["u", '"Untitled', "7"]),
        ('u\t"Heroes"\t7', "\t", ["u", '"Heroes"', "7"]),
        ('"a, b",c', ",", ["a, b", "c"]),
        ('u, "a, b" ,c', ",", ["u", "a, b", "c"]),
        ('" a ",c', ",", [" a ", "c"]),
        ('"5"" disc",""', ",", ['5" disc', ""]),
        ('"""x""",1', ",", ['"x"', "1"]),
        ('"Live" at home,1', ",", ['"Live" at home', "1"]),
        ('19" rack;"7 inch;2', ";", ['19" rack', '"7 inch', "2"]),
        ('5";6";"7"', ";", ['5"', '6"', "7"]),
        ('"7 inch', "|", ['"7 inch']),
        ('"a"::b', "::", ['"a"', "b"]),
        (' a , b,"",', ",", ["a", "b", "", ""]),
    ],
)
def test_a_cell_is_quoted_only_where_its_quote_closes_at_its_end(text: str, separator: str, cells: list[str]) -> None:
    assert split_cells(text, separator) == cells


def test_a_line_of_many_open_quotes_is_split_in_linear_time() -> None:
    assert len(split_cells('"a""' * 100_000 + ",b", ",")) == 2


def test_quotes_of_a_tab_separated_log_neither_lose_rows_nor_merge_items(tmp_path: Path) -> None:
    names = ['"Untitled', '"Heroes"', "Heroes", '"Live" at home', "Live at home", 'a "b']
    path = write(tmp_path, "".join(f"u\t2023-11-14\t{name}\t{n}\n" for n, name in enumerate(names)), "log.tsv")
    for item in ("#3", "#4"):
        log, report = load_log(path, "csv", f"user_id=#1,event_time_ms=#2[iso],item_id={item},action:=listen")
        assert (report.kept, report.unparsable, len(log.item_ids)) == (6, 0, 6)
    path = write(tmp_path, f'{HEADER.replace(",", ";")};name\nu;i;view;{TIME_MS};"7 inch\n')
    assert read(path)[1].kept == 1


def test_bytes_outside_utf8_count_only_in_the_columns_that_are_read(tmp_path: Path) -> None:
    rows = [f"u\ti\tview\t{TIME_MS}\tcaf\u00e9", f"u\tth\u00e9\tview\t{TIME_MS}\tbar", f"u\ti\tview\t{TIME_MS}\tbar"]
    content = "\n".join([f"{HEADER},kind".replace(",", "\t"), *rows]).encode("latin-1")
    path = write(tmp_path, content)
    events, report = read(path)
    assert (len(events), report.unparsable) == (2, 1)
    assert "line 3: item_id is" in report.examples[0]
    assert "outside UTF-8" in report.examples[0]
    events, report = read(path, "csv", "category=kind")
    assert ([event.category for event in events], report.unparsable) == ([None, "bar"], 1)
    assert "without category (not utf8): 1 events, first line 2" in str(report)
    bad_user = write(tmp_path, f"{HEADER}\nth\u00e9,i,view,{TIME_MS}\nth\u00e9,i\nu,i,view,1\n".encode("latin-1"))
    assert read(bad_user)[1].unparsable == 2
    assert [key for key, _ in LogRecords(bad_user)] == [b"", b"", b"u"]


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "otto.jsonl", "taobao.csv"])
def test_a_byte_order_mark_and_blank_lines_are_no_rows(tmp_path: Path, name: str) -> None:
    event = {"event_id": "e", "user_id": "1", "item_id": "2", "action": "view", "event_time_ms": TIME_MS}
    session = {"session": 1, "events": [{"aid": 2, "ts": TIME_MS, "type": "view"}]}
    lines = {
        "log.jsonl": [json.dumps(event)],
        "log.csv": [HEADER, f"1,2,view,{TIME_MS}"],
        "otto.jsonl": [json.dumps(session)],
        "taobao.csv": ["1,2,3,view,1700000000"],
    }[name]
    text = "\ufeff" + "\n".join(["", *lines, "", "  ", lines[-1].replace("1", "9", 1), "\t", ""])
    format = name.split(".")[0] if name.startswith(("otto", "taobao")) else None
    _, report = load_log(write(tmp_path, text, name), format)
    assert (report.rows, report.kept, report.unparsable) == (2, 2, 0)
    assert len(list(LogRecords(tmp_path / name, format))) == 2
    _, report = load_log(write(tmp_path, text + "nonsense", name), format)
    assert report.examples[0].startswith(f"line {6 + len(lines)}: ")  # the numbers of lines count blank lines


def test_ids_and_times_that_went_through_a_float_column_are_whole_numbers(tmp_path: Path) -> None:
    text = f"{HEADER},session_id,category\n12.0,7.0,view,{TIME_MS}.0,3.0,5.0\n12,7,view,1.700000000001e12,3,5\n"
    events, report = read(write(tmp_path, text))
    assert report.kept == 2
    assert {(e.user_id, e.item_id, e.session_id, e.category) for e in events} == {("12", "7", "3", "5")}
    assert [e.event_time_ms for e in events] == [TIME_MS, TIME_MS + 1]
    columns = {"user_id": [12.0, None], "item_id": [7.0, 8.0], "action": ["view"] * 2, "event_time_ms": [TIME_MS] * 2}
    (event,), _ = read(write_parquet(tmp_path, columns))
    assert (event.user_id, event.item_id) == ("12", "7")
    odd = write(tmp_path, f"{HEADER}\nu,1.50,view,{TIME_MS}\nu,-.0,view,{TIME_MS}\nu,07.0,view,{TIME_MS}\n")
    assert [e.item_id for e in read(odd)[0]] == ["1.50", "-.0", "07.0"]


def test_numbers_of_a_table_are_the_same_ids_and_actions_in_text_and_in_parquet(tmp_path: Path) -> None:
    text = write(tmp_path, f"{HEADER}\n7.00,{10**17}.0000000000,1.0,{TIME_MS}\n")
    columns = {"user_id": [Decimal("7.00")], "item_id": [Decimal(10**17)], "action": [1.0], "event_time_ms": [TIME_MS]}
    for path in (text, write_parquet(tmp_path, columns)):
        (event,), _ = read(path)
        assert (event.user_id, event.item_id, event.action) == ("7", str(10**17), "1")


def test_white_space_around_a_cell_does_not_belong_to_an_id(tmp_path: Path) -> None:
    header = HEADER.replace(",", ", ")
    text = f'{header}, price\nu, i, view, {TIME_MS}, 2.5\nu ,i ,view ,{TIME_MS}, \nu, "i", view, {TIME_MS}, 2.5\n'
    log, report = load_log(write(tmp_path, text))
    assert (report.kept, log.user_ids, log.item_ids, log.actions) == (3, ["u"], ["i"], ["view"])


def test_parquet_ids_may_be_decimals_bytes_or_uuids(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
    uuid = UUID(int=7)
    columns = {
        "user_id": pyarrow.array([Decimal(100_000), Decimal(10) ** 30], pyarrow.decimal128(38, 0)),
        "item_id": pyarrow.array([b"shoe", b"th\xe9"], pyarrow.binary()),
        "session_id": pyarrow.array([uuid.bytes] * 2, pyarrow.uuid()),
        "action": ["view"] * 2,
        "event_time_ms": pyarrow.array([Decimal(TIME_MS)] * 2, pyarrow.decimal128(38, 3)),
        "price": pyarrow.array([Decimal("2.50"), None], pyarrow.decimal128(10, 2)),
        "attributes": pyarrow.array([{"size": Decimal("4.5"), "on": datetime.date(2026, 1, 2)}, None]),
    }
    path = write_parquet(tmp_path, columns)
    (event,), report = read(path)
    assert (event.user_id, event.item_id, event.session_id) == ("100000", "shoe", str(uuid))
    assert (event.event_time_ms, event.price) == (TIME_MS, 2.5)
    assert event.attributes == {"size": "4.5", "on": "2026-01-02"}
    assert "item_id" in report.examples[0]
    columns["item_id"] = pyarrow.array([Decimal("7.0"), Decimal("7.5")], pyarrow.decimal128(38, 1))
    assert [event.item_id for event in read(write_parquet(tmp_path, columns))[0]] == ["7"]


def test_a_parquet_price_of_nan_is_missing_and_infinity_is_counted(tmp_path: Path) -> None:
    columns = {
        "event_id": ["a", "b", "c"],
        **{"user_id": ["u"] * 3, "item_id": ["i"] * 3, "action": ["view"] * 3, "event_time_ms": [TIME_MS] * 3},
        "price": [float("nan"), 2.5, float("inf")],
        "score": [1.0, float("nan"), float("-inf")],
    }
    path = write_parquet(tmp_path, columns)
    events, report = read(path, "parquet", "attributes.score=score")
    assert [event.price for event in events] == [None, 2.5, None]
    assert [event.attributes for event in events] == [{"score": "1.0"}, None, None]
    assert str(report).splitlines()[1:] == [
        "  without price (not finite): 1 events, first line 3: Infinity",
        "  without attributes.score (not finite): 1 events, first line 3: -Infinity",
    ]


@pytest.mark.parametrize("attributes", [['{"brand": "x"}', None], [["x"], []], [1, None]])
def test_attributes_that_are_no_object_are_left_out_and_counted(tmp_path: Path, attributes: list[Any]) -> None:
    columns = {"user_id": ["u"] * 2, "item_id": ["i", "j"], "action": ["view"] * 2, "event_time_ms": [TIME_MS] * 2}
    events, report = read(write_parquet(tmp_path, {**columns, "attributes": attributes}))
    assert [(event.item_id, event.attributes) for event in events] == [("i", None), ("j", None)]
    assert "without attributes (wrong type)" in str(report)


def test_times_of_parquet_in_other_fields_are_texts_whatever_their_precision(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
    ns = [1_700_000_000_123_456_789]
    inner = pyarrow.struct([("at", pyarrow.timestamp("ns")), ("far", pyarrow.timestamp("ms")), ("n", pyarrow.int64())])
    columns = {
        **{"user_id": ["u"], "item_id": ["i"], "action": ["view"]},
        "seen": pyarrow.array(ns, pyarrow.timestamp("ns")),
        "born": pyarrow.array([datetime.date(2020, 1, 2)]),
        "clock": pyarrow.array([1_234_567], pyarrow.time64("ns")),
        "took": pyarrow.array([1_234_567], pyarrow.duration("ns")),
        "price": pyarrow.array([1], pyarrow.timestamp("ms")),
        "attributes": pyarrow.array([{"at": ns[0], "far": 2**62, "n": 3}], inner),
    }
    others = ",".join(f"attributes.{name}={name}" for name in ("seen", "born", "clock", "took"))
    path = write_parquet(tmp_path, columns)
    (event,), report = read(path, "parquet", f"event_time_ms=seen,category=born,{others}")
    assert (event.event_time_ms, event.category, event.price) == (TIME_MS + 123, "2020-01-02", None)
    assert event.attributes is not None
    expected = {"at": "2023-11-14 22:13:20.123456789", "seen": str(TIME_MS + 123), "born": "2020-01-02", "n": "3"}
    expected |= {"clock": "00:00:00.001234567", "took": "1234567"}
    assert {name: event.attributes[name] for name in expected} == expected
    assert "without price (not a number)" in str(report)
    assert len(list(LogRecords(path, "parquet", "event_time_ms=seen"))) == 1


NESTED = [
    {"who": {"id": 4}, "properties": {"product_id": "p", "price": "EUR 2,50"}, "at": 1_700_000_000, "a.b": "literal"},
    {"who": {"id": 5}, "properties": {"product_id": "q", "price": None}, "at": 1_700_000_001, "a.b": None},
    {"who": {"id": 6}, "properties": None, "at": 1_700_000_002, "a.b": None},
]
NESTED_COLUMNS = "user_id=who.id,item_id=properties.product_id,price=properties.price,event_time_ms=at[s],action:=see"


@pytest.mark.parametrize("name", ["log.jsonl", "log.parquet"])
def test_a_dotted_path_names_a_nested_column(tmp_path: Path, name: str) -> None:
    if name == "log.jsonl":
        path = write(tmp_path, "\n".join(map(json.dumps, NESTED)), name)
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
        path = write_parquet(tmp_path, {column: pyarrow.array([row[column] for row in NESTED]) for column in NESTED[0]})
    events, report = read(path, name.split(".")[1], f"{NESTED_COLUMNS},category=a.b,attributes.who=who.id")
    assert (report.kept, report.unparsable) == (2, 1)
    assert [(e.user_id, e.item_id, e.price, e.category) for e in events] == [
        ("4", "p", 2.5, "literal"),
        ("5", "q", None, None),
    ]
    assert [e.event_time_ms for e in events] == [TIME_MS, TIME_MS + 1000]
    assert [e.attributes for e in events] == [{"who": "4"}, {"who": "5"}]
    sent = list(LogRecords(path, name.split(".")[1], NESTED_COLUMNS))
    assert [key for key, _ in sent] == [b"4", b"5", b"6"]
    assert json.loads(sent[0][1])["price"] == 2.5


def test_nested_timestamps_of_parquet_need_no_unit(tmp_path: Path) -> None:
    at = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)
    columns = {"user_id": ["u"], "item_id": ["i"], "action": ["view"], "seen": [{"at": at}]}
    (event,), _ = read(write_parquet(tmp_path, columns), "parquet", "event_time_ms=seen.at")
    assert event.event_time_ms == TIME_MS


def test_a_row_of_json_lines_without_a_mapped_field_names_the_path(tmp_path: Path) -> None:
    rows = [*NESTED, {"who": {"id": 7}, "properties": {}, "at": 1_700_000_003}]
    path = write(tmp_path, "\n".join([*map(json.dumps, rows), "no JSON"]), "log.jsonl")
    _, report = read(path, "jsonl", NESTED_COLUMNS)
    assert (report.kept, report.unparsable) == (2, 3)
    assert "line 3: the object has no properties.product_id" in report.examples[0]
    assert "line 5: value is not JSON" in report.examples[2]


def columns_of(*rows: Sequence[object]) -> str:
    return "\n".join(",".join(map(str, row)) for row in rows)


def test_an_optional_field_is_left_out_on_demand(tmp_path: Path) -> None:
    path = write(tmp_path, columns_of([*HEADER.split(","), "price", "category"], ["u", "i", "view", TIME_MS, 2.5, "c"]))
    assert [(e.price, e.category) for e in read(path)[0]] == [(2.5, "c")]
    assert [(e.price, e.category) for e in read(path, "csv", "price=")[0]] == [(None, "c")]
    assert [(e.price, e.category) for e in read(path, "csv", "price=,category=")[0]] == [(None, None)]
    row = {
        "user_id": "u",
        "item_id": "i",
        "action": "view",
        "event_time_ms": TIME_MS,
        "attributes": {"a": 1},
        "price": 1,
    }
    lines = write(tmp_path, json.dumps(row), "log.jsonl")
    (event,), _ = read(lines, "jsonl", "price=,attributes=,event_id=")
    assert (event.price, event.attributes) == (None, None)
    parquet = write_parquet(tmp_path, {name: [value] for name, value in row.items()})
    (event,), _ = read(parquet, "parquet", "price=,attributes=")
    assert (event.price, event.attributes) == (None, None)
    for columns, why in (("user_id=", "only an optional field"), ("price=,price=cost", "'price' stands twice")):
        with pytest.raises(InputError, match=why):
            load_log(path, "csv", columns)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.jsonl"])
def test_seconds_without_their_unit_are_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    row = {"user_id": "u", "item_id": "i", "action": "view", "ts": 1_700_000_000}
    path = {
        "log.csv": lambda: write(tmp_path, columns_of(row, row.values())),
        "log.jsonl": lambda: write(tmp_path, json.dumps(row), name),
        "log.parquet": lambda: write_parquet(tmp_path, {name: [value] for name, value in row.items()}),
    }[name]()
    format = name.split(".")[1]
    _, report = read(path, format, "event_time_ms=ts")
    assert (report.kept, report.unparsable) == (0, 1)
    assert "time '1700000000' in column 'ts' would lie before 2001-09-09 in milliseconds" in report.examples[0]
    assert "write event_time_ms=ts[s] for seconds, or event_time_ms=ts[ms] for milliseconds" in report.examples[0]
    with pytest.raises(InputError, match=r"event_time_ms=ts\[s\] for seconds"):
        LogRecords(path, format, "event_time_ms=ts")
    assert [e.event_time_ms for e in read(path, format, "event_time_ms=ts[s]")[0]] == [TIME_MS]
    assert [e.event_time_ms for e in read(path, format, "event_time_ms=ts[ms]")[0]] == [1_700_000_000]


def test_a_parquet_file_inside_gzip_is_refused_with_the_remedy(tmp_path: Path) -> None:
    columns = {"user_id": ["u"], "item_id": ["i"], "action": ["view"], "event_time_ms": [TIME_MS]}
    plain = write_parquet(tmp_path, columns)
    path = write(tmp_path, gzip.compress(plain.read_bytes()), "log.parquet.gz")
    with pytest.raises(InputError, match=r"compressed with gzip.*decompress it with gunzip"):
        load_log(path)
    # Parquet compresses its own columns, and some programs name such a file in this way.
    for name in ("log.parquet.gz", "log.parquet.gzip"):
        assert read(write(tmp_path, plain.read_bytes(), name))[1].kept == 1


def test_a_file_is_decompressed_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    text = f"{HEADER}\nu,i,view,{TIME_MS}\n".encode()
    assert format_from_name("log.csv.gzip") == "csv"
    for name, content in (("a.csv.gzip", gzip.compress(text)), ("b.csv", gzip.compress(text)), ("c.csv.gz", text)):
        assert read(write(tmp_path, content, name))[1].kept == 1
