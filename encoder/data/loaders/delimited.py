"""Text with one event in a line and a separator between the cells, plain or compressed with gzip."""

import codecs
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.row_batches import RowBatch, UnusableRow
from encoder.data.loaders.text_lines import line_batches, open_bytes
from encoder.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How the cells of a line make an event."""

    separator: str
    columns: int  # number of cells in every line
    user_column: int  # position of the cell with the user id
    parse_event: Callable[[list[str], int], BehaviorEvent]  # (cells, line); raises ValueError when the cells are wrong
    has_header: bool


class Delimited:
    """The log format of files whose first line tells the layout."""

    rows_are_records = False

    def __init__(self, layout: Callable[[str, Path], Layout]) -> None:
        """layout: (first line, path) -> layout. The function raises InputError when the first line is wrong."""
        self._layout = layout

    def batches(self, path: Path) -> Iterator[RowBatch]:
        with open_bytes(path) as file:
            head = file.readline().removeprefix(codecs.BOM_UTF8)
            layout = self._layout(head.decode(errors="replace").rstrip("\r\n"), path)
            is_row = bool(head) and not layout.has_header
            first_line = 1 if is_row else 2
            for raw in line_batches(chain([head] if is_row else [], file)):
                lines = range(first_line, first_line + len(raw))
                events = [_parse_line(layout, text, line) for line, text in zip(lines, raw, strict=True)]
                yield RowBatch(lines, raw, events)
                first_line += len(raw)


def split_cells(text: str, separator: str) -> list[str]:
    """The cells of a line. A cell in double quotes may contain the separator, but not a line end."""
    if '"' in text and len(separator) == 1:
        return next(csv.reader([text], delimiter=separator))
    return text.split(separator)


def check_header(found: str, expected: str, path: Path, dataset: str) -> None:
    """Raise InputError when the first line of a file is not the header of its dataset."""
    if found != expected:
        raise InputError(
            f"{path} does not begin as a {dataset} log: found {found[:120]!r}, expected {expected!r}; check the file, "
            "or name its format with --format"
        )


def _parse_line(layout: Layout, raw: bytes, line: int) -> BehaviorEvent | UnusableRow:
    cells: list[str] = []
    try:
        cells = split_cells(raw.decode(), layout.separator)
        if len(cells) != layout.columns:
            raise ValueError(f"{len(cells)} columns instead of {layout.columns}")
        return layout.parse_event(cells, line)
    except (ValueError, csv.Error) as error:
        return UnusableRow(str(error), cells[layout.user_column] if len(cells) > layout.user_column else "")
