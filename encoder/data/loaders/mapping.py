"""Where the fields of an event stand in a table whose columns have other names: `--columns`.

FIELD=COLUMN,... with the fields of the event contract, for example

    user_id=user,item_id=asin,event_time_ms=ts[s],action:=rate,attributes.brand=brand

- event_time_ms=COLUMN[UNIT]: the unit is s, ms or iso (a date and time as text), ms where none is given.
- attributes.NAME=COLUMN: one attribute.
- action:=NAME: the action of every row.
- A field that is not named is read from the column of its own name, where there is one.
- #1, #2, ... as COLUMN: the first, second, ... column of a file without a header.
- Rows of a file without event ids get `<format>-<line>`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.times import UNITS
from encoder.errors import InputError

ATTRIBUTE = "attributes."
_FIELDS = [name for name in BehaviorEvent.__struct_fields__ if name != "attributes"]
_REQUIRED = ("user_id", "item_id", "action", "event_time_ms")
_UNIT = re.compile(r"(.+)\[(\w*)\]")
_NUMBERED = re.compile(r"#\d+")
_SHOWN = 20  # columns of a file in an error


@dataclass(frozen=True)
class Columns:
    """A parsed mapping; the empty one reads a file whose columns are named as in the event contract."""

    named: dict[str, str] = field(default_factory=dict)  # field or attributes.NAME -> column
    unit: str = "ms"  # of event_time_ms, a key of UNITS
    action: str | None = None  # of every row; None: from a column

    @classmethod
    def parse(cls, text: str) -> "Columns":
        """Raises InputError where `text` is not a mapping, names no field of an event, or one of them twice."""
        named: dict[str, str] = {}
        unit, action = "ms", None
        for part in text.split(","):
            name, equals, column = (piece.strip() for piece in part.partition("="))
            if not (name and equals and column):
                raise InputError(f"{part!r} in the columns {text!r} is not of the form FIELD=COLUMN")
            if name == "action:":
                name, action = "action", column
            if name not in _FIELDS and not (name.startswith(ATTRIBUTE) and name != ATTRIBUTE):
                raise InputError(
                    f"{name!r} in the columns {text!r} is no field: use {', '.join(_FIELDS)}, {ATTRIBUTE}NAME"
                )
            if name in named:
                raise InputError(f"{name!r} stands twice in the columns {text!r}")
            if name == "event_time_ms" and (found := _UNIT.fullmatch(column)):
                column, unit = found.groups()
                if unit not in UNITS:
                    raise InputError(f"unit [{unit}] in the columns {text!r}: use [{'], ['.join(UNITS)}]")
            named[name] = column
        if action is not None:
            del named["action"]
        return cls(named, unit, action)

    @property
    def are_numbered(self) -> bool:
        """Whether columns are named by number: the file has no header."""
        return any(_NUMBERED.fullmatch(column) for column in self.named.values())

    def places(self, header: list[str], path: Path) -> dict[str, int]:
        """Field or attributes.NAME -> position of its column in a file with these columns.

        Raises InputError where a named column is not there, or a field that every event needs has none.
        """
        own = {name: name for name in _FIELDS if name in header and (name != "action" or self.action is None)}
        columns = {**own, **self.named}
        needed = [name for name in _REQUIRED if name != "action" or self.action is None]
        wanted = [*columns.values(), *(name for name in needed if name not in columns)]
        absent = [column for column in wanted if column not in header]
        if absent:
            shown = ", ".join(header[:_SHOWN]) + (", ..." if len(header) > _SHOWN else "")
            raise InputError(
                f"{path} has no column {', '.join(absent)}, it has: {shown}; name the columns with --columns "
                "(user_id=COLUMN,event_time_ms=COLUMN[s],action:=view,...), or the log's own format with --format"
            )
        return {name: header.index(column) for name, column in columns.items()}
