"""Parquet with columns for the fields of an event: see `encoder.data.loaders.column_mapping`.

A column `attributes` is a struct or a map with texts and numbers. Ids may be whole numbers, and times may be
timestamps.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.column_mapping import ATTRIBUTE_PREFIX, ColumnMapping
from encoder.data.loaders.row_batches import BATCH_ROWS, RowBatch, UnusableRow
from encoder.data.loaders.times import UNITS
from encoder.errors import InputError

if TYPE_CHECKING:
    import pyarrow

_TEXT_FIELDS = frozenset(("event_id", "user_id", "item_id", "action", "session_id", "category"))


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
            raise InputError(f"{path} is not a Parquet file: {error}; pass --format jsonl for JSON Lines") from None
        with file:
            header = list(file.schema_arrow.names)
            column_of = {name: header[at] for name, at in self._mapping.positions(header, path).items()}
            if "attributes" in header:
                column_of["attributes"] = "attributes"
            first_line = 1
            for table in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(column_of.values()))):
                values = {column: _values(table.column(column)) for column in table.schema.names}
                rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
                lines = range(first_line, first_line + len(rows))
                events = [self._event(column_of, row, line) for line, row in zip(lines, rows, strict=True)]
                yield RowBatch(lines, [msgspec.json.encode(row, enc_hook=str) for row in rows], events)
                first_line += len(rows)

    def _event(self, column_of: dict[str, str], row: dict[str, Any], line: int) -> BehaviorEvent | UnusableRow:
        fields: dict[str, Any] = {"event_id": f"parquet-{line}", "action": self._mapping.action, "attributes": None}
        attributes: dict[str, Any] = {}
        for name, column in column_of.items():
            value = row[column]
            if name in _TEXT_FIELDS:
                fields[name] = value if value.__class__ is str else _as_text(value)
            elif name.startswith(ATTRIBUTE_PREFIX):
                attributes[name.removeprefix(ATTRIBUTE_PREFIX)] = value
            elif name != "attributes":
                fields[name] = value
            elif value:
                attributes.update(value)
        if attributes:
            # A struct column has all attributes in every row, with null for the attributes that the row lacks.
            fields["attributes"] = {name: value for name, value in attributes.items() if value is not None} or None
        try:
            fields["event_time_ms"] = self._time_ms(fields["event_time_ms"])
            return msgspec.convert(fields, BehaviorEvent)
        except (ValueError, msgspec.ValidationError) as error:
            user_id = fields["user_id"]
            return UnusableRow(str(error), user_id if isinstance(user_id, str) else "")

    def _time_ms(self, value: Any) -> Any:
        if value is None or isinstance(value, _Milliseconds):
            return value
        # pandas writes a column of whole numbers with nulls as floats.
        return UNITS[self._mapping.time_unit](str(value).removesuffix(".0"))


class _Milliseconds(int):
    """A value of a timestamp column, in milliseconds. The unit of the mapping does not apply to such a value."""


def _values(column: "pyarrow.Array") -> list[Any]:
    import pyarrow

    if pyarrow.types.is_timestamp(column.type) or pyarrow.types.is_date(column.type):
        in_ms = column.cast(pyarrow.timestamp("ms", getattr(column.type, "tz", None)), safe=False)
        return [None if value is None else _Milliseconds(value) for value in in_ms.cast(pyarrow.int64()).to_pylist()]
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    return values


def _as_text(value: Any) -> Any:
    """Convert a whole number to text. Other values stay as they are, and msgspec rejects a value of a wrong type."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
