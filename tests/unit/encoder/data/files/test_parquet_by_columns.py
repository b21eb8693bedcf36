"""A Parquet file that is read by columns gives the log and the report of the same file read row by row."""

import math
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from encoder.data.loaders import load_log, log_files
from encoder.data.loaders.arrow import parquet_columns
from encoder.data.loaders.assembly.growing_column import GrowingColumn
from encoder.data.loaders.tables.parquet import ParquetColumns
from tests.tools.logs.log_contents import contents

TIME_MS = 1_700_000_000_000
TEXT = st.sampled_from(
    [
        *("u1", "u2", "i3", "view", "view", "", " ", " a", "7.0", "é", "日本", "x" * 512, "x" * 513, "a\x00b", None),
        *("unnamed".ljust(48, "-"), "\u00a0", "é" * 300, "a\nb", "\ufeffx"),
    ]
)
WHOLE = st.one_of(st.integers(0, 5), st.integers(0, 5), st.none(), st.integers(-(2**63), 2**63 - 1))
TIMES = st.one_of(
    st.integers(TIME_MS, TIME_MS + 5), st.integers(TIME_MS, TIME_MS + 5), st.integers(-5, 2**53), st.none()
)
FLOAT_TIMES = st.sampled_from(
    [TIME_MS + 0.0, TIME_MS + 1.0, 1.7e9, 1.7e9 + 0.25, math.nan, math.inf, -1.0, 1e300, None]
)
PRICES = st.sampled_from([1.5, 2.5, 0.0, -0.0, -1.0, math.nan, math.inf, 1e300, 1e-320, None])
TEXTS: dict[Any, st.SearchStrategy[Any]] = {
    pyarrow.string(): TEXT,
    pyarrow.large_string(): TEXT,
    pyarrow.dictionary(pyarrow.int8(), pyarrow.string()): TEXT,
    pyarrow.int64(): WHOLE,
    pyarrow.int8(): st.one_of(st.integers(-128, 127), st.none()),
}
TIME_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    pyarrow.int64(): TIMES,
    pyarrow.float64(): FLOAT_TIMES,
    pyarrow.timestamp("ms"): TIMES,
    pyarrow.timestamp("us", "Europe/Paris"): TIMES,
    pyarrow.date32(): st.one_of(st.integers(18_000, 18_003), st.integers(-3, 3), st.none()),
}
PRICE_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    pyarrow.float64(): PRICES,
    pyarrow.float32(): st.sampled_from([1.5, 2.7, -1.0, math.nan, None]),
    pyarrow.int64(): WHOLE,
}
BRANDS = st.one_of(st.none(), st.fixed_dictionaries({"brand": TEXT, "item_name": TEXT}))


@st.composite
def tables(draw: st.DrawFn) -> Any:
    """A table of the event contract, whose columns have any of the types that are read by columns."""
    size = draw(st.integers(1, 20))

    def column(types: dict[Any, st.SearchStrategy[Any]]) -> Any:
        kind = draw(st.sampled_from(list(types)))
        values = draw(st.lists(types[kind], min_size=size, max_size=size))
        if pyarrow.types.is_dictionary(kind):
            return pyarrow.array(values, pyarrow.string()).dictionary_encode()
        return pyarrow.array(values, kind)

    columns = {name: column(TEXTS) for name in ("user_id", "item_id", "action")}
    columns["event_time_ms"] = column(TIME_TYPES)
    if draw(st.booleans()):
        columns["event_id"] = column(TEXTS)
        columns["category"] = column(TEXTS)
        columns["session_id"] = column(TEXTS)
        columns["price"] = column(PRICE_TYPES)
    if draw(st.booleans()):
        kind = pyarrow.struct([("brand", pyarrow.string()), ("item_name", pyarrow.string())])
        columns["attributes"] = pyarrow.array(draw(st.lists(BRANDS, min_size=size, max_size=size)), kind)
    return pyarrow.table(columns)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    table=tables(),
    batch_rows=st.sampled_from([3, 1000]),
    columns=st.sampled_from(
        [None, "event_time_ms=event_time_ms[s]", "event_time_ms=event_time_ms", "attributes.at=user_id"]
    ),
    for_model=st.booleans(),
)
def test_both_ways_agree_on_dirty_tables(
    table: Any, batch_rows: int, columns: str | None, for_model: bool, tmp_path: Path
) -> None:
    path = tmp_path / "log.parquet"
    parquet.write_table(table, path, row_group_size=7)
    found = []
    for is_by_rows in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parquet_columns, "_BATCH_ROWS", batch_rows)
            if is_by_rows:
                patch.setattr(log_files, "_column_batches", lambda *_: None)
                patch.setattr(log_files, "_column_kind", lambda _: GrowingColumn)
            log, report = load_log(path, None, columns, for_model=for_model)
            found.append((contents(log), report))
    assert found[0] == found[1]


@pytest.mark.parametrize("attributes", [{"brand": "b"}, None])
def test_no_clean_row_is_read_alone(
    attributes: dict[str, str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.parquet"
    row = {"user_id": 7, "item_id": "i", "action": "view", "event_time_ms": TIME_MS, "price": math.nan, "category": ""}
    with_attributes = row if attributes is None else {**row, "attributes": attributes}
    parquet.write_table(pyarrow.Table.from_pylist([with_attributes] * 3), path)
    monkeypatch.delattr(ParquetColumns, "rows")
    log, report = load_log(path)
    assert (report.kept, log.user_ids, log.categories) == (3, ["7"], [""])
