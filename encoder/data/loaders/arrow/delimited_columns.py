"""Reads text with separated cells by columns. The result is that of `encoder.data.loaders.tables.delimited`."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
from numpy.typing import NDArray

from encoder.data.loaders.arrow.judged_columns import ColumnJudge, Rules, can_be_judged
from encoder.data.loaders.arrow.line_blocks import (
    BLOCK_BYTES,
    Lines,
    is_plain,
    line_blocks,
    line_count,
    lines_kept,
    lines_of,
)
from encoder.data.loaders.assembly.event_columns import EventBatch, EventColumns, columns_of
from encoder.data.loaders.assembly.log_builder import is_unread_by_models
from encoder.data.loaders.row_batches import RowBatch
from encoder.data.loaders.tables.delimited import CellFields, Delimited, Layout, parse_line
from encoder.data.loaders.text.lines import numbered_lines, open_bytes
from encoder.data.loaders.validation import judged

_TEXT = pyarrow.dictionary(pyarrow.int32(), pyarrow.binary())
_TIME_TYPES: dict[str, list[Any]] = {
    "ms": [pyarrow.int64(), _TEXT],
    "s": [pyarrow.int64(), pyarrow.float64(), _TEXT],
    "iso": [_TEXT],
}


def delimited_batches(
    log_format: Delimited, path: Path, latest_ms: int, for_model: bool
) -> Iterator[EventBatch] | None:
    """The parts of a file, or None where the layout of the file needs a look at every row.

    for_model: judge what `is_unread_by_models` names, and do not keep it.

    Raises InputError as `Delimited.batches` does, and errors of reading when the parts are taken.
    """
    with open_bytes(path) as file:
        _, first_line = next(numbered_lines(file), (1, b""))
    layout = log_format.layout(first_line, path)
    fields = layout.fields
    if fields is None or layout.columns < 2 or len(layout.separator) > 1:
        return None
    if not can_be_judged(fields.action, fields.positions):
        return None
    return _Reader(layout, fields, latest_ms, for_model).batches(path)


class _Reader:
    """Reads the blocks of one file."""

    def __init__(self, layout: Layout, fields: CellFields, latest_ms: int, for_model: bool) -> None:
        self._layout = layout
        self._latest_ms = latest_ms
        self._has_quoting = layout.separator != "\t"
        self._positions = fields.positions
        self._unread = [name for name in fields.positions if for_model and is_unread_by_models(name)]
        self._rules = Rules(
            fields.time_unit, latest_ms, fields.first_plausible_ms, fields.action, fields.has_whole_numbers
        )
        # The types of time and price to try, in this order. The first types that fit a block are tried first for the
        # next block.
        self._types = [
            {**types, **self._text_types()}
            for types in (
                {self._positions["event_time_ms"]: time_type}
                | ({self._positions["price"]: price_type} if "price" in self._positions else {})
                for time_type, price_type in product(_TIME_TYPES[fields.time_unit], [pyarrow.float64(), _TEXT])
            )
        ]

    def _text_types(self) -> dict[int, Any]:
        """Position -> type of the cells that are texts."""
        types: dict[int, Any] = {}
        for name, position in self._positions.items():
            if name == "event_id" or name in self._unread:
                types.setdefault(position, pyarrow.binary())
            elif name not in ("event_time_ms", "price"):
                types[position] = _TEXT
        for name in ("event_time_ms", "price"):
            if self._positions.get(name, -1) in types:
                types[self._positions[name]] = _TEXT  # the field shares its column with a text
        return types

    def batches(self, path: Path) -> Iterator[EventBatch]:
        with open_bytes(path) as file:
            number, head = next(numbered_lines(file), (0, b""))
            is_row = bool(head) and not self._layout.has_header
            line = number if is_row else number + 1
            for block in line_blocks(file, head + b"\n" if is_row else b"", BLOCK_BYTES):
                count = line_count(block)
                yield self._batch(block, count, line)
                line += count

    def _batch(self, block: bytes, count: int, first_line: int) -> EventBatch:
        """The part of one block of `count` lines. first_line: the number of the block's first line."""
        table, lines, has_quotes = self._table(block, count)
        kept_lines = np.arange(count) if lines is None else np.flatnonzero(~lines.is_odd)
        if table is None:
            events, is_kept = columns_of([]), np.zeros(0, bool)
        else:
            judge = ColumnJudge(self._rules, table.num_rows, has_quotes=has_quotes)
            columns = {name: _chunk(table, position) for name, position in self._positions.items()}
            events, is_kept = judge.events(columns, self._unread), judge.is_kept
        taken = kept_lines[is_kept]
        if len(taken) == count:
            return EventBatch(events, taken + first_line)
        is_other = np.ones(count, bool)
        is_other[taken] = False
        return self._with_rows(block, lines, events, taken, np.flatnonzero(is_other), first_line)

    def _with_rows(
        self,
        block: bytes,
        lines: Lines | None,
        events: EventColumns,
        taken: NDArray[np.int64],
        others: NDArray[np.int64],
        first_line: int,
    ) -> EventBatch:
        """The part whose lines `taken` are `events`, and whose lines `others` are read one by one."""
        layout = self._layout
        if lines is None:
            lines = lines_of(block, layout.separator, layout.columns, has_quoting=self._has_quoting)
        texts = [
            (number, text)
            for number, begin, end in zip(
                (others + first_line).tolist(), lines.begin[others].tolist(), lines.end[others].tolist(), strict=True
            )
            if (text := block[begin:end].rstrip(b"\r\n")) and not text.isspace()
        ]
        raw = [text for _, text in texts]
        rows = judged(
            RowBatch([number for number, _ in texts], raw, [parse_line(layout, text) for text in raw]), self._latest_ms
        )
        return EventBatch(events, taken + first_line, rows)

    def _table(self, block: bytes, count: int) -> tuple[Any, Lines | None, bool]:
        """The table of a block's lines that are not odd, the lines where they were looked at, and whether cells
        may be quoted."""
        layout, has_quoting = self._layout, self._has_quoting
        if is_plain(block, has_quoting=has_quoting):
            table = self._read(block, self._types[0], has_quotes=False)
            if table is not None and table.num_rows == count:
                return table, None, False
        lines = lines_of(block, layout.separator, layout.columns, has_quoting=has_quoting)
        kept = lines_kept(block, lines)
        for number, types in enumerate(self._types):
            table = self._read(kept, types, has_quotes=lines.has_quotes) if kept else None
            if table is not None:
                self._types.insert(0, self._types.pop(number))
                return table, lines, lines.has_quotes
        return None, lines._replace(is_odd=np.ones(len(lines.end), bool)), False

    def _read(self, block: bytes, types: dict[int, Any], *, has_quotes: bool) -> Any:
        """The table of a block with these types, or None where a cell has not the type or a line has not all cells."""
        time_column = self._positions["event_time_ms"]
        if types[time_column] == pyarrow.int64() and (b"0x" in block or b"0X" in block):
            types = {**types, time_column: _TEXT}  # pyarrow takes 0x1F for a number
        try:
            return pyarrow.csv.read_csv(
                pyarrow.BufferReader(block),
                pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=len(block) + 1,
                    column_names=[str(position) for position in range(self._layout.columns)],
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=self._layout.separator,
                    quote_char='"' if has_quotes else False,
                    double_quote=False,
                ),
                pyarrow.csv.ConvertOptions(
                    check_utf8=False,
                    column_types={str(position): kind for position, kind in types.items()},
                    include_columns=[str(position) for position in types],
                    null_values=[""],
                    strings_can_be_null=False,
                ),
            )
        except pyarrow.ArrowInvalid:
            return None


def _chunk(table: Any, position: int) -> Any:
    column = table.column(str(position))
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
