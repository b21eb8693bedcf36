"""A table as text, with columns for the fields of an event: see `encoder.data.loaders.column_mapping`.

The separator is a comma, a tab, a semicolon, `|` or `::`. The first line decides: the separator that occurs most often
in the first line is used.
"""

from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.column_mapping import ATTRIBUTE_PREFIX, ColumnMapping
from encoder.data.loaders.delimited import Delimited, Layout, split_cells
from encoder.data.loaders.times import UNITS

_SEPARATORS = (",", "\t", ";", "|", "::")


def plain_csv(mapping: ColumnMapping) -> Delimited:
    """The log format of a text whose columns `mapping` names."""

    def layout(first_line: str, path: Path) -> Layout:
        separator = max(_SEPARATORS, key=first_line.count)
        cells = [cell.strip() for cell in split_cells(first_line, separator)]
        is_numbered = mapping.has_numbered_columns
        header = [f"#{number}" for number in range(1, len(cells) + 1)] if is_numbered else cells
        parser = _LineParser(mapping, mapping.positions(header, path))
        user_column = parser.positions["user_id"]
        return Layout(separator, len(cells), user_column, parser.parse_event, has_header=not is_numbered)

    return Delimited(layout)


class _LineParser:
    """Makes an event of the cells of a line. An empty cell is a missing value."""

    def __init__(self, mapping: ColumnMapping, positions: dict[str, int]) -> None:
        self.positions = positions
        self._action = mapping.action
        self._parse_time_ms = UNITS[mapping.time_unit]
        self._attributes = {
            name.removeprefix(ATTRIBUTE_PREFIX): position
            for name, position in positions.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        }

    def parse_event(self, cells: list[str], line: int) -> BehaviorEvent:
        positions = self.positions
        price = self._optional("price", cells)
        return BehaviorEvent(
            event_id=cells[positions["event_id"]] if "event_id" in positions else f"csv-{line}",
            user_id=cells[positions["user_id"]],
            item_id=cells[positions["item_id"]],
            action=cells[positions["action"]] if self._action is None else self._action,
            event_time_ms=self._parse_time_ms(cells[positions["event_time_ms"]]),
            session_id=self._optional("session_id", cells),
            category=self._optional("category", cells),
            price=None if price is None else float(price),
            attributes={name: cells[at] for name, at in self._attributes.items() if cells[at]} or None,
        )

    def _optional(self, name: str, cells: list[str]) -> str | None:
        return cells[self.positions[name]] or None if name in self.positions else None
