"""The mapping from the fields of an event to the columns of a table: the option `--columns`.

The option has the form FIELD=COLUMN,... with the fields of the event contract, for example

    user_id=user,item_id=asin,event_time_ms=ts[s],action:=rate,attributes.brand=brand

- event_time_ms=COLUMN[UNIT] gives the unit of the time: s, ms or iso (a date and time as text). The default is ms.
- attributes.NAME=COLUMN reads one attribute.
- action:=NAME gives every row the same action.
- A field that the mapping does not name is read from the column with the field's name, if there is such a column.
- FIELD= without a column leaves an optional field out, also when there is a column with the field's name.
- A dotted path such as properties.product_id names a field inside a JSON object or a Parquet struct.
- #1, #2, ... as COLUMN stand for the first, second, ... column of a file without a header.
- An event of a row without an event id gets an id that is made of the event: see `encoder.data.event_ids`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from encoder.data.contract.quoting import without_controls
from encoder.data.events import BehaviorEvent
from encoder.data.loaders.text.times import UNITS
from encoder.errors import InputError

ATTRIBUTES = "attributes"
ATTRIBUTE_PREFIX = "attributes."
TEXT_FIELDS = frozenset(("event_id", "user_id", "item_id", "action", "session_id", "category"))
_FIELDS = [name for name in BehaviorEvent.__struct_fields__ if name != ATTRIBUTES]
REQUIRED_COLUMNS = ("user_id", "item_id", "action", "event_time_ms")
_OPTIONAL = ("event_id", "session_id", "category", "price", ATTRIBUTES)
# An earlier time in milliseconds is almost surely a time in seconds: the seconds of today have ten digits.
_FIRST_PLAUSIBLE_MS = 1_000_000_000_000  # 2001-09-09
_UNIT = re.compile(r"(.+)\[(\w*)\]")
_NUMBERED = re.compile(r"#\d+")
_SHOWN_COLUMNS = 20  # columns of a file in an error message


@dataclass(frozen=True)
class ColumnMapping:
    """A parsed mapping. The empty mapping reads a file whose columns are named as in the event contract."""

    column_of: dict[str, str] = field(default_factory=dict)  # field or attributes.NAME -> column
    time_unit: str = "ms"  # unit of event_time_ms, a key of UNITS
    is_time_unit_given: bool = False
    action: str | None = None  # action of every row; None: a column holds the action
    left_out: frozenset[str] = frozenset()  # optional fields that are not read, also when they have a column

    @classmethod
    def parse(cls, text: str) -> "ColumnMapping":
        """Parse the option `--columns`.

        Raises InputError when the text is not a mapping, names an unknown field, or names a field twice.
        """
        column_of: dict[str, str] = {}
        left_out: set[str] = set()
        time_unit, is_time_unit_given, action = "ms", False, None
        for part in text.split(","):
            name, equals, column = (piece.strip() for piece in part.partition("="))
            if name == "action:" and column:
                name, action = "action", column
            if not (name and equals and (column or name in _OPTIONAL)):
                raise InputError(
                    f"{part!r} in the columns {text!r} is not of the form FIELD=COLUMN; only an optional field "
                    f"({', '.join(_OPTIONAL)}) may have no column, which leaves the field out"
                )
            _check_field(name, column, text)
            if name in column_of or name in left_out:
                raise InputError(f"{name!r} stands twice in the columns {text!r}: name every field once")
            if not column:
                left_out.add(name)
                continue
            if name == "event_time_ms" and (found := _UNIT.fullmatch(column)):
                column, time_unit = found.groups()
                is_time_unit_given = True
                if time_unit not in UNITS:
                    raise InputError(f"unit [{time_unit}] in the columns {text!r}: use [{'], ['.join(UNITS)}]")
            column_of[name] = column
        if action is not None:
            del column_of["action"]
        return cls(column_of, time_unit, is_time_unit_given, action, frozenset(left_out))

    @property
    def has_numbered_columns(self) -> bool:
        """Whether the mapping names columns by number. Such a file has no header."""
        return any(_NUMBERED.fullmatch(column) for column in self.column_of.values())

    @property
    def first_plausible_ms(self) -> int:
        """The first time that `time_ms` takes, apart from times before 1970."""
        is_unit_clear = self.is_time_unit_given or "event_time_ms" not in self.column_of
        return 0 if is_unit_clear else _FIRST_PLAUSIBLE_MS

    def time_ms(self, text: str) -> int:
        """Parse a time in the unit of the mapping.

        Raises ValueError when the text is no such time, and when a time without a given unit must be in seconds.
        """
        time_ms = UNITS[self.time_unit](text)
        if 0 <= time_ms < self.first_plausible_ms:
            column = self.column_of["event_time_ms"]
            raise ValueError(
                f"time {text!r} in column {column!r} would lie before 2001-09-09 in milliseconds: write "
                f"event_time_ms={column}[s] for seconds, or event_time_ms={column}[ms] for milliseconds"
            )
        return time_ms

    def columns(self, header: Collection[str] | None = None) -> dict[str, str]:
        """Field or attributes.NAME -> column.

        header: the columns of the file. None: a row may have any field, so every field has a column.
        """
        fields = [*_FIELDS, ATTRIBUTES] if header is None else [name for name in _FIELDS if name in header]
        own = {name: name for name in fields if name not in self.left_out and (name != "action" or not self.action)}
        return {**own, **self.column_of}

    def checked_columns(self, header: Collection[str], path: Path) -> dict[str, str]:
        """`columns(header)` of the file at `path`.

        Raises InputError when the file lacks a named column or has it twice, and when a required field has no column.
        """
        columns = self.columns(header)
        required = [name for name in REQUIRED_COLUMNS if name != "action" or self.action is None]
        wanted = [*columns.values(), *(name for name in required if name not in columns)]
        absent = [column for column in wanted if column not in header]
        if absent:
            shown = ", ".join(islice(header, _SHOWN_COLUMNS)) + (", ..." if len(header) > _SHOWN_COLUMNS else "")
            shown = without_controls(shown)
            raise InputError(
                f"{path} has no column {', '.join(absent)}, it has: {shown}; name the columns with --columns "
                "(user_id=COLUMN,event_time_ms=COLUMN[s],action:=view,...), or the log's own format with --format"
            )
        names = list(header)
        repeated = [column for column in wanted if names.count(column) > 1]
        if repeated:
            raise InputError(
                f"{path} has several columns with the name {repeated[0]}, so the column to read is unclear: rename one "
                "of the columns"
            )
        return columns


def _check_field(name: str, column: str, text: str) -> None:
    is_attribute = name.startswith(ATTRIBUTE_PREFIX) and name != ATTRIBUTE_PREFIX
    if name not in _FIELDS and not is_attribute and not (name == ATTRIBUTES and not column):
        raise InputError(
            f"{name!r} in the columns {text!r} is not a field: use {', '.join(_FIELDS)}, {ATTRIBUTE_PREFIX}NAME"
        )
