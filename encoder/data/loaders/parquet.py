"""Parquet with columns for the fields of an event: see `encoder.data.loaders.columns.mapping`.

A column `attributes` is a struct or a map with texts and numbers. Ids may be whole numbers of any type, and times may
be timestamps. The dotted path of a column inside a struct is a column too.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from encoder.data.loaders.columns.mapped_rows import Milliseconds, mapped_row
from encoder.data.loaders.columns.mapping import ATTRIBUTES, ColumnMapping
from encoder.data.loaders.row_batches import RowBatch
from encoder.errors import InputError

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS = 8192


class Parquet:
    """The log format of Parquet files."""

    rows_are_records = False

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping

    def batches(self, path: Path) -> Iterator[RowBatch]:
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError:
            raise InputError(f"reading {path} needs pyarrow: install Thalweg with its `train` extra") from None
        try:
            file = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowInvalid as error:
            raise InputError(f"{path} is not a Parquet file: {error}; {_remedy(path)}") from None
        with file:
            paths = dict(_paths(file.schema_arrow))
            column_of = self._mapping.checked_columns(paths, path)
            if ATTRIBUTES in paths and ATTRIBUTES not in self._mapping.left_out:
                column_of[ATTRIBUTES] = ATTRIBUTES
            first_line = 1
            columns = list(dict.fromkeys(column_of.values()))
            for table in file.iter_batches(_BATCH_ROWS, columns=columns):
                values = {column: _values(_array(table, paths[column])) for column in columns}
                rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
                lines = range(first_line, first_line + len(rows))
                events = [mapped_row(self._mapping, column_of, row) for row in rows]
                yield RowBatch(lines, [_as_json(row) for row in rows], events)
                first_line += len(rows)


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


def _values(column: "pyarrow.Array") -> list[Any]:
    import pyarrow

    types = pyarrow.types
    if types.is_timestamp(column.type) or types.is_date(column.type):
        in_ms = column.cast(pyarrow.timestamp("ms", getattr(column.type, "tz", None)), safe=False)
        return [None if value is None else Milliseconds(value) for value in in_ms.cast(pyarrow.int64()).to_pylist()]
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    kind = column.type
    is_plain = types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind) or types.is_large_string(kind)
    return values if is_plain else [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """A value as JSON can hold the value: decimals as numbers, bytes, dates and UUIDs as texts."""
    if isinstance(value, dict):
        return {str(name): _plain(content) for name, content in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")  # The judge refuses bytes that are not UTF-8.
    return str(value) if isinstance(value, datetime | date | time | timedelta | UUID) else value
