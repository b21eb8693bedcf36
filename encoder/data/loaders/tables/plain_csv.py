"""A table as text, with columns for the fields of an event: see `encoder.data.loaders.columns.mapping`.

The separator is a comma, a tab, a semicolon, `|` or `::`. The first line decides: the separator that occurs most often
in the first line is used.
"""

from pathlib import Path

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.columns.mapping import ATTRIBUTE_PREFIX, ColumnMapping
from encoder.data.loaders.row_batches import RawEvent
from encoder.data.loaders.tables.delimited import CellFields, Delimited, Layout
from encoder.data.loaders.text.cells import split_cells
from encoder.data.loaders.text.numbers import float_or_text, without_zero_fraction

_SEPARATORS = (",", "\t", ";", "|", "::")


def plain_csv(mapping: ColumnMapping) -> Delimited:
    """The log format of a text whose columns `mapping` names."""

    def layout(first_line: str, path: Path) -> Layout:
        separator = max(_SEPARATORS, key=first_line.count)
        cells = [cell.strip() for cell in split_cells(first_line, separator)]  # also inside of quotes
        is_numbered = mapping.has_numbered_columns
        header = [f"#{number}" for number in range(1, len(cells) + 1)] if is_numbered else cells
        column_of = mapping.checked_columns(header, path)
        parser = _LineParser(mapping, {name: header.index(column) for name, column in column_of.items()})
        user_column = parser.positions["user_id"]
        fields = CellFields(
            parser.positions,
            mapping.time_unit,
            first_plausible_ms=mapping.first_plausible_ms,
            action=mapping.action,
            has_whole_numbers=True,
        )
        return Layout(separator, len(cells), user_column, parser.parse_event, not is_numbered, fields)

    return Delimited(layout)


class _LineParser:
    """Makes the fields of an event of the cells of a line. An empty cell is a missing value."""

    def __init__(self, mapping: ColumnMapping, positions: dict[str, int]) -> None:
        self.positions = positions
        self._action = mapping.action
        self._parse_time_ms = mapping.time_ms
        self._attributes = {
            name.removeprefix(ATTRIBUTE_PREFIX): position
            for name, position in positions.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        }

    def parse_event(self, cells: list[str]) -> RawEvent:
        positions = self.positions
        price = self._optional("price", cells)
        return RawEvent(
            event_id=self._id("event_id", cells) if "event_id" in positions else UNNAMED,
            user_id=self._id("user_id", cells),
            item_id=self._id("item_id", cells),
            action=self._id("action", cells) if self._action is None else self._action,
            event_time_ms=self._parse_time_ms(cells[positions["event_time_ms"]]),
            session_id=self._optional("session_id", cells),
            category=self._optional("category", cells),
            price=None if price is None else float_or_text(price),
            attributes={name: cells[at] for name, at in self._attributes.items() if cells[at]} or None,
        )

    def _id(self, name: str, cells: list[str]) -> str:
        return without_zero_fraction(cells[self.positions[name]])

    def _optional(self, name: str, cells: list[str]) -> str | None:
        """The cell of an optional field, or None when the cell is empty. Sessions and categories may be numbers."""
        if name not in self.positions:
            return None
        cell = cells[self.positions[name]]
        return (cell if name == "price" else without_zero_fraction(cell)) or None
