"""Any table as text, with columns for the fields of an event: see encoder.datasets.mapping.

The separator, one of comma, tab, semicolon, | and ::, is the one of which the first line has most.
"""

from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.delimited import Delimited, Layout, split
from encoder.data.loaders.mapping import ATTRIBUTE, Columns
from encoder.data.loaders.times import UNITS

_SEPARATORS = (",", "\t", ";", "|", "::")


def plain_csv(columns: Columns) -> Delimited:
    """The log format of a text whose columns are these."""

    def layout(first_line: str, path: Path) -> Layout:
        separator = max(_SEPARATORS, key=first_line.count)
        cells = [cell.strip() for cell in split(first_line, separator)]
        header = [f"#{number}" for number in range(1, len(cells) + 1)] if columns.are_numbered else cells
        reader = _Reader(columns, columns.places(header, path))
        return Layout(separator, len(cells), reader.places["user_id"], reader.event, not columns.are_numbered)

    return Delimited(layout)


class _Reader:
    """Reads the cells of a line as an event. An empty cell is a missing value."""

    def __init__(self, columns: Columns, places: dict[str, int]) -> None:
        self.places = places
        self._action = columns.action
        self._time_ms = UNITS[columns.unit]
        self._attributes = {
            name.removeprefix(ATTRIBUTE): place for name, place in places.items() if name.startswith(ATTRIBUTE)
        }

    def event(self, cells: list[str], line: int) -> BehaviorEvent:
        place = self.places
        price = self._optional("price", cells)
        return BehaviorEvent(
            event_id=cells[place["event_id"]] if "event_id" in place else f"csv-{line}",
            user_id=cells[place["user_id"]],
            item_id=cells[place["item_id"]],
            action=cells[place["action"]] if self._action is None else self._action,
            event_time_ms=self._time_ms(cells[place["event_time_ms"]]),
            session_id=self._optional("session_id", cells),
            category=self._optional("category", cells),
            price=None if price is None else float(price),
            attributes={name: cells[place] for name, place in self._attributes.items() if cells[place]} or None,
        )

    def _optional(self, name: str, cells: list[str]) -> str | None:
        return cells[self.places[name]] or None if name in self.places else None
