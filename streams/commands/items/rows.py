"""Reads the rows of a file of items: JSON Lines, CSV or Parquet."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from encoder.data.loaders.formats import format_from_name
from encoder.data.loaders.tables.parquet import in_milliseconds
from encoder.data.loaders.tables.parquet_files import open_parquet
from encoder.data.loaders.text.lines import numbered_lines, open_bytes
from encoder.errors import InputError
from encoder.wording import counted
from streams.contracts.catalogue_items import FIELDS

SEPARATORS = ",\t;|"
BATCH_ROWS = 8_192


class Row(NamedTuple):
    """A row of a file."""

    place: str  # such as "line 7"
    content: bytes | dict[str, Any]  # the JSON of a line, or the values of the columns by name


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file. The name of the file says the format, as for event logs.

    Raises InputError where the file cannot be read, or is no file of its format.
    """
    readers = {"jsonl": _json_rows, "csv": _csv_rows, "parquet": _parquet_rows}
    try:
        yield from readers["csv" if ".tsv" in path.suffixes else format_from_name(path)](path)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _json_rows(path: Path) -> Iterator[Row]:
    with open_bytes(path) as file:
        for number, line in numbered_lines(file):
            yield Row(f"line {number}", line)


def _csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a text with a header. Of the separators, the one that stands most often in the header counts."""
    with open_bytes(path) as file:
        lines = _decoded_lines(path, file)
        header = next(lines, "")
        separator = max(SEPARATORS, key=header.count)
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
        _check_header(path, names)
        rows = csv.reader(lines, delimiter=separator, strict=True)
        try:
            for cells in rows:
                place = f"line {1 + rows.line_num}"
                if len(cells) not in (0, len(names)):
                    raise InputError(
                        f"{place} of {path} has {counted(len(cells), 'cell')}, and the header has {len(names)}"
                    )
                if cells:
                    yield Row(place, dict(zip(names, cells, strict=True)))
        except csv.Error as error:
            raise InputError(f"line {1 + rows.line_num} of {path} is no line of a CSV: {error}") from None


def _decoded_lines(path: Path, lines: Any) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"line {number} of {path} is not UTF-8: {error.reason} at byte {error.start}") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    with open_parquet(path, "give CSV and JSON Lines names of their own") as file:
        names = list(file.schema_arrow.names)
        _check_header(path, names)
        ours = [name for name in names if name in FIELDS]
        others = dict.fromkeys(name for name in names if name not in FIELDS)
        first = 1
        for batch in file.iter_batches(BATCH_ROWS, columns=ours):
            values = [_values(batch.column(name)) for name in ours]
            for number, row in enumerate(zip(*values, strict=True), first):
                yield Row(f"row {number}", {**dict(zip(ours, row, strict=True)), **others})
            first += len(batch)


def _values(column: Any) -> list[Any]:
    import pyarrow

    types = pyarrow.types
    if types.is_timestamp(column.type) or types.is_date(column.type):
        column = in_milliseconds(column)
    values: list[Any] = column.to_pylist()
    return values


def _check_header(path: Path, names: list[str]) -> None:
    for name in FIELDS:
        if names.count(name) > 1:
            raise InputError(f"{path} has several columns with the name {name}: rename one of them")
    if "item_id" not in names:
        shown = ", ".join(names[:20])
        raise InputError(f"{path} has no column item_id, it has: {shown}; the fields are {', '.join(FIELDS)}")
