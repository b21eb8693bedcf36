"""What stands at each path of a sample: how often, and what kinds of values."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from encoder.data.contract.prices import price_from_text
from encoder.data.mapping.sources.times import PER_SECOND, time_reader

_MOST_DEPTH = 5
_MOST_PATHS = 2_000  # of a sample, whose records may have names that are ids
_MOST_VALUES = 1_000  # distinct values that are counted at a path
# Seconds since 1970 from 2001 to 2100. A time in another unit has a power of ten more.
_FIRST_S, _LAST_S = 1_000_000_000, 4_102_444_800

Names = tuple[str, ...]


@dataclass
class Field:
    """The values at one path of the sample, without nulls and empty texts."""

    names: Names
    count: int = 0  # values; one of each record or of each line
    whole_numbers: int = 0
    prices: int = 0  # numbers, and texts that are prices
    texts: int = 0
    units: dict[str, int] = field(default_factory=dict)  # unit of a time, or "iso" -> values that are such times
    values: dict[str, int] = field(default_factory=dict)  # distinct ids as texts -> how often, up to a limit

    @property
    def distinct(self) -> int:
        """The number of distinct values, up to a limit."""
        return len(self.values)

    def add(self, value: Any) -> None:
        """Count a value that is neither an object nor a list."""
        self.count += 1
        if isinstance(value, bool):
            return
        number = value if isinstance(value, int | float | Decimal) else None
        if isinstance(value, str):
            self.texts += 1
            number = int(value) if value.isdecimal() and len(value) < 20 else None
            self.prices += price_from_text(value) is not None
        elif number is not None:
            self.prices += 1
            self.whole_numbers += _is_whole(number)
        if unit := _unit_of(value, number):
            self.units[unit] = self.units.get(unit, 0) + 1
        text = str(value)
        if text in self.values or len(self.values) < _MOST_VALUES:
            self.values[text] = self.values.get(text, 0) + 1


def _is_whole(number: int | float | Decimal) -> bool:
    """Whether the number has no fraction. A `Decimal` of a schema may have more digits than a division takes."""
    return number == number.to_integral_value() if isinstance(number, Decimal) else number == number // 1


def _unit_of(value: Any, number: int | float | Decimal | None) -> str:
    if number is not None:
        for unit, per_second in PER_SECOND.items():
            if _FIRST_S * per_second <= number < _LAST_S * per_second:
                return unit
        return ""
    if not isinstance(value, str) or not value[:4].isdecimal():
        return ""
    try:
        return "iso" if time_reader(None)(value) > 0 else ""
    except (ValueError, OverflowError):
        return ""


class Fields:
    """The fields of a sample: those of the records, and those of the objects in each list of objects."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.records = 0
        self.of_record: dict[Names, Field] = {}
        self.of_lines: dict[Names, dict[Names, Field]] = {}  # path of a list -> fields of its objects
        self.lists: dict[Names, int] = {}  # path of a list of objects -> records that have one with an object
        for value in values:
            self.records += 1
            for names, one in _leaves(value, ()):
                if isinstance(one, list | tuple):
                    self._add_lines(names, one)
                else:
                    _add(self.of_record, names, one)

    def _add_lines(self, names: Names, lines: Sequence[Any]) -> None:
        objects = [line for line in lines if isinstance(line, dict)]
        if not objects or len(self.of_lines) > _MOST_PATHS:
            return
        self.lists[names] = self.lists.get(names, 0) + 1
        fields = self.of_lines.setdefault(names, {})
        for line in objects:
            for inner, one in _leaves(line, ()):
                if not isinstance(one, list | tuple):
                    _add(fields, inner, one)


def _add(fields: dict[Names, Field], names: Names, value: Any) -> None:
    if names not in fields and len(fields) > _MOST_PATHS:
        return
    fields.setdefault(names, Field(names)).add(value)


def _leaves(value: Any, names: Names) -> Iterator[tuple[Names, Any]]:
    """The values below an object with their names. A list is a value. A name with a quote has no path."""
    if isinstance(value, dict):
        if len(names) < _MOST_DEPTH:
            for name, one in value.items():
                if isinstance(name, str) and name and '"' not in name:
                    yield from _leaves(one, (*names, name))
    elif names and value is not None and value != "":
        yield names, value
