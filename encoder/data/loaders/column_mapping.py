"""The mapping from the fields of an event to the columns of a table: the option `--columns`.

The option has the form FIELD=COLUMN,... with the fields of the event contract, for example

    user_id=user,item_id=asin,event_time_ms=ts[s],action:=rate,attributes.brand=brand

- event_time_ms=COLUMN[UNIT] gives the unit of the time: s, ms or iso (a date and time as text). The default is ms.
- attributes.NAME=COLUMN reads one attribute.
- action:=NAME gives every row the same action.
- A field that the mapping does not name is read from the column with the field's name, if there is such a column.
- #1, #2, ... as COLUMN stand for the first, second, ... column of a file without a header.
- A row without an event id gets the id `<format>-<line>`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.times import UNITS
from encoder.errors import InputError

ATTRIBUTE_PREFIX = "attributes."
_FIELDS = [name for name in BehaviorEvent.__struct_fields__ if name != "attributes"]
_REQUIRED = ("user_id", "item_id", "action", "event_time_ms")
_UNIT = re.compile(r"(.+)\[(\w*)\]")
_NUMBERED = re.compile(r"#\d+")
_SHOWN_COLUMNS = 20  # columns of a file in an error message


@dataclass(frozen=True)
class ColumnMapping:
    """A parsed mapping. The empty mapping reads a file whose columns are named as in the event contract."""

    column_of: dict[str, str] = field(default_factory=dict)  # field or attributes.NAME -> column
    time_unit: str = "ms"  # unit of event_time_ms, a key of UNITS
    action: str | None = None  # action of every row; None: a column holds the action

    @classmethod
    def parse(cls, text: str) -> "ColumnMapping":
        """Parse the option `--columns`.

        Raises InputError when the text is not a mapping, names an unknown field, or names a field twice.
        """
        column_of: dict[str, str] = {}
        time_unit, action = "ms", None
        for part in text.split(","):
            name, equals, column = (piece.strip() for piece in part.partition("="))
            if not (name and equals and column):
                raise InputError(f"{part!r} in the columns {text!r} is not of the form FIELD=COLUMN")
            if name == "action:":
                name, action = "action", column
            if name not in _FIELDS and not (name.startswith(ATTRIBUTE_PREFIX) and name != ATTRIBUTE_PREFIX):
                raise InputError(
                    f"{name!r} in the columns {text!r} is not a field: use {', '.join(_FIELDS)}, {ATTRIBUTE_PREFIX}NAME"
                )
            if name in column_of:
                raise InputError(f"{name!r} stands twice in the columns {text!r}: name every field once")
            if name == "event_time_ms" and (found := _UNIT.fullmatch(column)):
                column, time_unit = found.groups()
                if time_unit not in UNITS:
                    raise InputError(f"unit [{time_unit}] in the columns {text!r}: use [{'], ['.join(UNITS)}]")
            column_of[name] = column
        if action is not None:
            del column_of["action"]
        return cls(column_of, time_unit, action)

    @property
    def has_numbered_columns(self) -> bool:
        """Whether the mapping names columns by number. Such a file has no header."""
        return any(_NUMBERED.fullmatch(column) for column in self.column_of.values())

    def positions(self, header: list[str], path: Path) -> dict[str, int]:
        """Field or attributes.NAME -> position of its column in a file with the columns `header`.

        Raises InputError when the file lacks a named column, and when a required field has no column.
        """
        own = {name: name for name in _FIELDS if name in header and (name != "action" or self.action is None)}
        columns = {**own, **self.column_of}
        required = [name for name in _REQUIRED if name != "action" or self.action is None]
        wanted = [*columns.values(), *(name for name in required if name not in columns)]
        absent = [column for column in wanted if column not in header]
        if absent:
            shown = ", ".join(header[:_SHOWN_COLUMNS]) + (", ..." if len(header) > _SHOWN_COLUMNS else "")
            raise InputError(
                f"{path} has no column {', '.join(absent)}, it has: {shown}; name the columns with --columns "
                "(user_id=COLUMN,event_time_ms=COLUMN[s],action:=view,...), or the log's own format with --format"
            )
        return {name: header.index(column) for name, column in columns.items()}
