"""Turns the cells of a table into the fields of a catalogue item. Does no I/O."""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from encoder.data.contract.prices import price_from_text
from encoder.data.loaders.text.numbers import without_zero_fraction
from encoder.data.loaders.text.times import from_iso

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")
FIRST_PLAUSIBLE_MS = 100_000_000_000  # in 1973; a smaller number is a number of seconds


def fields_of(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item, from the cells of a row by the name of the column. An empty cell has no value.

    Raises ValueError that names the column and the cell.
    """
    fields = {}
    for name, read in _READERS.items():
        cell = cells.get(name)
        if isinstance(cell, str):
            cell = cell.strip()
        if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
            continue
        fields[name] = read(name, cell)
    return fields


def _text(name: str, cell: Any) -> Any:
    """A text, or an id that is a whole number. The contract judges other values."""
    if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool):
        return without_zero_fraction(str(cell))
    return cell


def _price(name: str, cell: Any) -> Any:
    if isinstance(cell, Decimal):
        return float(cell)
    if not isinstance(cell, str):
        return cell
    price = price_from_text(cell)
    if price is None:
        raise ValueError(f"{name} is {cell!r}: give a number such as 12.50, with a currency or without")
    return price


def _available(name: str, cell: Any) -> Any:
    if isinstance(cell, bool):
        return cell
    text = str(cell).lower()
    if text not in TRUE + FALSE:
        raise ValueError(f"{name} is {cell!r}: give one of {', '.join(TRUE + FALSE)}")
    return text in TRUE


def _time_ms(name: str, cell: Any) -> Any:
    if isinstance(cell, str):
        number = without_zero_fraction(cell)
        if number.lstrip("-").isdecimal():
            cell = int(number)
        else:
            try:
                cell = from_iso(cell)
            except ValueError as error:
                raise ValueError(f"{name}: {error}; give milliseconds since 1970, or 2026-11-29T12:00:00Z") from None
    elif isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, int) and 0 <= cell < FIRST_PLAUSIBLE_MS:
        raise ValueError(f"{name} is {cell}, which is before 1974 in milliseconds: give milliseconds, not seconds")
    return cell


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "item_id": _text,
    "name": _text,
    "category": _text,
    "brand": _text,
    "price": _price,
    "image_url": _text,
    "available": _available,
    "first_seen_ms": _time_ms,
}
