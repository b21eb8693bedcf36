"""Text with one event in a line and a separator between the cells, plain or compressed with gzip."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from encoder.data.loaders.row_batches import RawEvent, RowBatch, UnusableRow, user_id_or_empty
from encoder.data.loaders.text.cells import split_cells
from encoder.data.loaders.text.lines import line_batches, numbered_lines, open_bytes
from encoder.errors import InputError


@dataclass(frozen=True)
class CellFields:
    """Which cells of a line are which fields, for a layout whose `parse_event` only picks cells."""

    positions: dict[str, int]  # field or attributes.NAME -> position; an empty cell is a missing value
    time_unit: str  # a key of `encoder.data.loaders.text.times.UNITS`
    first_plausible_ms: int = 0  # `parse_event` refuses earlier times
    action: str | None = None  # of every row; None: a cell holds the action
    has_whole_numbers: bool = False  # whether ids such as "7.0" are read as "7"


@dataclass(frozen=True)
class Layout:
    """How the cells of a line make the fields of an event."""

    separator: str
    columns: int  # number of cells in every line
    user_column: int  # position of the cell with the user id
    parse_event: Callable[[list[str]], RawEvent]  # of the cells; raises ValueError when a time is wrong
    has_header: bool
    fields: CellFields | None = None  # how `parse_event` reads a line, where this can be said by columns


class Delimited:
    """The log format of files whose first line tells the layout."""

    rows_are_records = False

    def __init__(self, layout: Callable[[str, Path], Layout]) -> None:
        """layout: (first line, path) -> layout. The function raises InputError when the first line is wrong."""
        self._layout_of = layout

    def layout(self, first_line: bytes, path: Path) -> Layout:
        """The layout of the file at `path`. Raises InputError when the first line is wrong."""
        return self._layout_of(first_line.decode(errors="replace"), path)

    def batches(self, path: Path) -> Iterator[RowBatch]:
        with open_bytes(path) as file:
            lines = numbered_lines(file)
            head = next(lines, (1, b""))
            layout = self.layout(head[1], path)
            is_row = bool(head[1]) and not layout.has_header
            for numbers, raw in line_batches(chain([head] if is_row else [], lines)):
                yield RowBatch(numbers, raw, [parse_line(layout, text) for text in raw])


def check_header(found: str, expected: str, path: Path, dataset: str) -> None:
    """Raise InputError when the first line of a file is not the header of its dataset."""
    if found != expected:
        raise InputError(
            f"{path} does not begin as a {dataset} log: found {found[:120]!r}, expected {expected!r}; check the file, "
            "or name its format with --format"
        )


def parse_line(layout: Layout, raw: bytes) -> RawEvent | UnusableRow:
    """The fields of the event of a line."""
    # A byte that is not UTF-8 becomes half a surrogate pair. The judge finds such a half in the fields of the event.
    cells = split_cells(raw.decode(errors="surrogateescape"), layout.separator)
    try:
        if len(cells) != layout.columns:
            raise ValueError(f"{len(cells)} instead of {layout.columns} columns")
        return layout.parse_event(cells)
    except ValueError as error:
        return UnusableRow(
            str(error), user_id_or_empty(cells[layout.user_column] if len(cells) > layout.user_column else "")
        )
