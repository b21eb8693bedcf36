"""Text with one event a line and a separator between its cells, plain or .gz: what all such logs have in common."""

import codecs
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.rows import Batch, Unusable, line_batches, open_bytes
from encoder.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are events."""

    separator: str
    columns: int
    user: int  # position of the cell with the user id
    event: Callable[[list[str], int], BehaviorEvent]  # (cells, line); raises ValueError where they are no event
    has_header: bool


class Delimited:
    """The log format of files whose first line tells their layout."""

    holds_records = False

    def __init__(self, layout: Callable[[str, Path], Layout]) -> None:
        """layout: (first line, path) -> layout; raises InputError where a file cannot begin like this."""
        self._layout = layout

    def batches(self, path: Path) -> Iterator[Batch]:
        with open_bytes(path) as file:
            head = file.readline().removeprefix(codecs.BOM_UTF8)
            layout = self._layout(head.decode(errors="replace").rstrip("\r\n"), path)
            is_row = bool(head) and not layout.has_header
            first_line = 1 if is_row else 2
            for raw in line_batches(chain([head] if is_row else [], file)):
                lines = range(first_line, first_line + len(raw))
                yield Batch(lines, raw, [_event(layout, text, line) for line, text in zip(lines, raw, strict=True)])
                first_line += len(raw)


def split(text: str, separator: str) -> list[str]:
    """The cells of a line. A cell in double quotes may hold the separator, not the end of a line."""
    if '"' in text and len(separator) == 1:
        return next(csv.reader([text], delimiter=separator))
    return text.split(separator)


def check_header(found: str, expected: str, path: Path, log: str) -> None:
    """Raises InputError where a file does not begin with the header of its kind of log."""
    if found != expected:
        raise InputError(f"{path} does not begin as a {log} log: found {found[:120]!r}, expected {expected!r}")


def _event(layout: Layout, raw: bytes, line: int) -> BehaviorEvent | Unusable:
    cells: list[str] = []
    try:
        cells = split(raw.decode(), layout.separator)
        if len(cells) != layout.columns:
            raise ValueError(f"{len(cells)} columns instead of {layout.columns}")
        return layout.event(cells, line)
    except (ValueError, csv.Error) as error:
        return Unusable(str(error), cells[layout.user] if len(cells) > layout.user else "")
