"""JSON Lines: one JSON object in a line, plain or compressed with gzip."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from encoder.data.contract.judge import read_object
from encoder.data.contract.rejection import why_not_an_object
from encoder.data.loaders.columns.mapped_rows import mapped_row, text_of_whole_number
from encoder.data.loaders.columns.mapping import REQUIRED_COLUMNS, ColumnMapping
from encoder.data.loaders.row_batches import RawEvent, RowBatch, UnusableRow, user_id_or_empty
from encoder.data.loaders.text.lines import line_batches, numbered_lines, open_bytes

_ABSENT = object()
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class JsonLines:
    """The log format of JSON Lines of the event contract. A line of the file is the record of its event."""

    rows_are_records = True

    def batches(self, path: Path) -> Iterator[RowBatch]:
        with open_bytes(path) as file:
            for lines, raw in line_batches(numbered_lines(file)):
                yield RowBatch(lines, raw, contents=raw)


class MappedJsonLines:
    """The log format of JSON Lines whose fields `mapping` names. A column is a field of the object, or a dotted path.

    The path `properties.product_id` names the field `product_id` of the object in the field `properties`. A field that
    has this name with its dot comes first.
    """

    rows_are_records = False

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self._column_of = mapping.columns()
        self._required = [self._column_of[name] for name in REQUIRED_COLUMNS if name in self._column_of]
        self._user_column = self._column_of["user_id"]

    def batches(self, path: Path) -> Iterator[RowBatch]:
        with open_bytes(path) as file:
            for lines, raw in line_batches(numbered_lines(file)):
                yield RowBatch(lines, raw, [self._row(text) for text in raw])

    def _row(self, text: bytes) -> RawEvent | UnusableRow:
        try:
            fields: dict[str, Any] | None = _decode_object(text)
        except (ValueError, RecursionError):
            fields = read_object(text)
        if fields is None:
            return UnusableRow(why_not_an_object(text).reason)
        values = ((column, _at_path(fields, column)) for column in self._column_of.values())
        row = {column: value for column, value in values if value is not _ABSENT}
        absent = [column for column in self._required if column not in row]
        if absent:
            user_id = text_of_whole_number(row.get(self._user_column))
            return UnusableRow(f"the object has no {', '.join(absent)}", user_id_or_empty(user_id))
        return mapped_row(self._mapping, self._column_of, row)


def _at_path(fields: Any, path: str) -> Any:
    """The value at a dotted path, or _ABSENT."""
    while isinstance(fields, dict):
        if path in fields:
            return fields[path]
        name, _, path = path.partition(".")
        fields = fields.get(name)
    return _ABSENT
