"""A file that is read by columns gives the log and the report of the same file read row by row."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoder.data.loaders import LogReport, load_log, log_files
from encoder.data.loaders.arrow import arrow_column, delimited_columns
from encoder.data.loaders.assembly.growing_column import GrowingColumn
from encoder.data.loaders.row_batches import UnusableRow
from encoder.errors import InputError
from tests.tools.logs.log_contents import contents

TIME = "1700000000000"
TEXTS = [
    *(
        "",
        " ",
        "a",
        "b",
        "ab",
        " a",
        "a ",
        "7",
        "7.0",
        "7.00",
        "-7.0",
        "07.0",
        "7.5",
        "1e3",
        "x.0",
        ".0",
        "0",
        "é",
        "日本",
    ),
    *("\u00a0x", "x\u3000", "\x1cx", "x\x7f", "a\x00b", "x" * 512, "x" * 513, "é" * 300, "é" * 513, "\ufeffx"),
    *(
        '"q"',
        '"a,b"',
        '"a;b"',
        '""',
        '"',
        '"a""b"',
        '"open',
        'in"side',
        ' "q"',
        '"q" ',
        '" q "',
        '"é"',
        "unnamed".ljust(48, "-"),
    ),
    *("a\rb", "\r", "\udcff", "a\udce9b", "null", "NA", "nan", "\t"),
]
TIMES = [
    *(TIME, "1700000000001", " 1700000000002 ", "1700000000003.0", "1.7e12", "0x1F", "0X1F", "-1", "0", "5", "", "x"),
    *("999999999999999", "99999999999999999999999", "1700000000", "1700000000.25", "nan", "inf", "+1700000000000"),
    *("2019-10-01 00:00:00 UTC", "2019-10-01", "2019-10-01T01:02:03Z", "2019-02-29 00:00:00", "2019-13-01 00:00:00"),
    *("2019-10-01 24:00:00 UTC", "2019-10-01 00:00:60", "2019-10-01 00:00:00.125", "2019-10-01 00:00:00+02:00"),
    *("1969-12-31 23:59:59", "0000-01-01", "9999-12-31", "2019-10-01 00:00:00 XYZ", "20191001", "2020-02-29 12:30:59"),
    *("1_700_000_000_000", "\u0661700000000000", '"1700000000000"', '" 1700000000000"'),
]
PRICES = [
    *(
        "",
        "1",
        "1.5",
        " 2.5 ",
        "0",
        "-0.0",
        "-1",
        "nan",
        "inf",
        "1e400",
        "1e-400",
        "cheap",
        "EUR 11.76",
        "2,06",
        "40.37 €",
    ),
    *("1_0", "+3", ".5", "5.", "0x1F", '"1.25"', '""', "nan(3)"),
]
CLEAN = {"time": TIME, "iso": "2019-10-01 00:00:00 UTC", "seconds": "1700000000", "price": "12.5"}


def cell(kind: str) -> st.SearchStrategy[str]:
    """A cell of a kind. Most cells are clean, so that many rows have one dirty cell or none."""
    dirty = {"text": TEXTS, "price": PRICES}.get(kind, TIMES)
    clean = st.just(CLEAN[kind]) if kind in CLEAN else st.sampled_from(["u1", "u2", "i3", "view"])
    return st.one_of(clean, clean, clean, clean, st.sampled_from(dirty))


def rows(kinds: list[str], separator: str) -> st.SearchStrategy[str]:
    """A line of a file: cells of these kinds, and sometimes another number of cells, or a blank line."""
    right = st.tuples(*(cell(kind) for kind in kinds))
    ragged = st.lists(cell("text"), max_size=len(kinds) + 2)
    return st.one_of(right, right, right, right, right, ragged).map(separator.join)


def files(header: str | None, kinds: list[str], separator: str = ",") -> st.SearchStrategy[bytes]:
    def content(lines: list[str], end: str, last: str, beginning: bytes) -> bytes:
        text = end.join([*([] if header is None else [header]), *lines]) + last
        return beginning + text.encode(errors="surrogateescape")

    return st.builds(
        content,
        st.lists(rows(kinds, separator), max_size=30),
        st.sampled_from(["\n", "\n", "\r\n", "\n\n"]),
        st.sampled_from(["\n", "", "\r"]),
        st.sampled_from([b"", b"", b"\xef\xbb\xbf"]),
    )


FULL = "event_id,user_id,item_id,action,event_time_ms,session_id,category,price"
FULL_KINDS = ["text"] * 4 + ["time"] + ["text"] * 2 + ["price"]
CASES: dict[str, tuple[str, str | None, st.SearchStrategy[bytes]]] = {
    "contract": ("csv", None, files(FULL, FULL_KINDS)),
    "semicolons": ("csv", None, files(FULL.replace(",", ";"), FULL_KINDS, ";")),
    "tabs": ("csv", None, files(FULL.replace(",", "\t"), FULL_KINDS, "\t")),
    "no ids": ("csv", None, files("user_id,item_id,action,event_time_ms", ["text"] * 3 + ["time"])),
    "mapped": (
        "csv",
        "user_id=u,item_id=i,event_time_ms=t[s],action:=rate,attributes.brand=b,attributes.item_name=n",
        files("u,i,t,b,n,other", ["text", "text", "seconds", "text", "text", "text"]),
    ),
    "unit not given": (
        "csv",
        "user_id=u,item_id=i,event_time_ms=t,action=a",
        files("u,i,t,a", ["text", "text", "time", "text"]),
    ),
    "iso": ("csv", "event_time_ms=t[iso]", files("user_id,item_id,t,action", ["text", "text", "iso", "text"])),
    "numbered": (
        "csv",
        "user_id=#1,item_id=#2,event_time_ms=#3[ms],action:=see,session_id=#1,attributes.at=#3,price=#3",
        files(None, ["text", "text", "time"]),
    ),
    "rees46": (
        "rees46",
        None,
        files(
            "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
            ["iso", *["text"] * 5, "price", "text", "text"],
        ),
    ),
    "taobao": ("taobao", None, files(None, ["text"] * 4 + ["seconds"])),
    "retailrocket": (
        "retailrocket",
        None,
        files("timestamp,visitorid,event,itemid,transactionid", ["time"] + ["text"] * 4),
    ),
    "yoochoose": ("yoochoose", None, files("SessionId\tItemId\tTime", ["text", "text", "seconds"], "\t")),
}


def by_columns_and_by_rows(
    path: Path, format: str, columns: str | None, monkeypatch: pytest.MonkeyPatch, *, for_model: bool = False
) -> list[tuple[dict[str, Any], LogReport]]:
    """What the file gives when it is read by columns, and when it is read row by row."""
    found = []
    for is_by_rows in (False, True):
        with monkeypatch.context() as patch:
            if is_by_rows:
                patch.setattr(log_files, "_column_batches", lambda *_: None)
                patch.setattr(log_files, "_column_kind", lambda _: GrowingColumn)
            log, report = load_log(path, format, columns, for_model=for_model)
            found.append((contents(log), report))
    return found


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    block_bytes=st.sampled_from([1, 40, 300, 1 << 20]),
    is_compressed=st.booleans(),
    for_model=st.booleans(),
)
def test_both_ways_agree_on_dirty_files(
    case: str, data: st.DataObject, block_bytes: int, is_compressed: bool, for_model: bool, tmp_path: Path
) -> None:
    format, columns, content = CASES[case]
    path = tmp_path / "log.csv"
    written = data.draw(content)
    path.write_bytes(gzip.compress(written) if is_compressed else written)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(delimited_columns, "BLOCK_BYTES", block_bytes)
        try:
            by_columns, by_rows = by_columns_and_by_rows(path, format, columns, monkeypatch, for_model=for_model)
        except InputError:
            return  # the header is unusable, which a test of its own shows for both ways
    assert by_columns == by_rows


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_both_ways_agree_on_each_dirty_cell_among_clean_lines(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited_columns, "BLOCK_BYTES", block_bytes)
    clean = ["e", "u1", "i3", "view", TIME, "s", "c", "12.5"]
    path = tmp_path / "log.csv"
    for at, kind in enumerate(FULL_KINDS):
        for dirty in {"text": TEXTS, "price": PRICES}.get(kind, TIMES):
            lines = [[f"e{number}", *clean[1:]] for number in range(5)]
            lines[2][at] = dirty
            text = "\n".join([FULL, *map(",".join, lines), ""])
            path.write_bytes(text.encode(errors="surrogateescape"))
            by_columns, by_rows = by_columns_and_by_rows(path, "csv", None, monkeypatch)
            assert by_columns == by_rows, (kind, dirty)


def test_a_byte_order_mark_at_the_beginning_of_a_block_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited_columns, "BLOCK_BYTES", 1)
    path = tmp_path / "log.csv"
    path.write_text("1,2,3,pv,1511544070\n\ufeff1,2,3,pv,1511544070\n")
    by_columns, by_rows = by_columns_and_by_rows(path, "taobao", None, monkeypatch)
    assert by_columns == by_rows
    assert by_columns[0]["user_ids"] == ["1", "\ufeff1"]


def test_no_clean_line_is_read_as_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes around whole cells and carriage returns before the line feed are clean as well."""
    read: list[bytes] = []
    monkeypatch.setattr(delimited_columns, "parse_line", lambda layout, raw: read.append(raw) or UnusableRow("seen"))
    path = tmp_path / "log.csv"
    clean = ['"u,1",i,view,1700000000000,"c d",1.5', "u2,i,view,1700000000001,,", "é,i,view,1700000000001,日本,0"]
    path.write_text("\r\n".join(["user_id,item_id,action,event_time_ms,category,price", *clean, "u,i,view,0x1F,,", ""]))
    log, report = load_log(path)
    assert (report.kept, report.unparsable, read) == (3, 1, [b"u,i,view,0x1F,,"])
    assert (log.user_ids, log.categories) == (["u,1", "u2", "é"], ["c d", "日本"])


def test_values_are_joined_while_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited_columns, "BLOCK_BYTES", 200)
    monkeypatch.setattr(arrow_column, "_WAITING_BYTES", 100)
    path = tmp_path / "log.csv"
    lines = [f"u{n * 7 % 31},i{n * n % 17},view,{1_700_000_000_000 - n * n % 13},c{n % 5}" for n in range(400)]
    path.write_text("\n".join(["user_id,item_id,action,event_time_ms,category", *lines]))
    by_columns, by_rows = by_columns_and_by_rows(path, "csv", None, monkeypatch)
    assert by_columns == by_rows
