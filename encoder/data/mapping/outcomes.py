"""What the functions that are written for a mapping call for a record that is not a plain event."""

import math
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from encoder.data.contract.judge import ATTRIBUTES
from encoder.data.contract.prices import price_from_text
from encoder.data.contract.quoting import SHOWN, quote_json
from encoder.data.contract.rejection import Rejection, is_unicode
from encoder.data.mapping.records import Skipped, SkipReason
from encoder.data.mapping.sources.source import text_of

_COMPARED = SHOWN + 1  # characters of a value that decide how the value is shown
TOMBSTONE = Skipped(SkipReason.TOMBSTONE, "null")


def filtered(shown: str, value: Any) -> Skipped:
    """Skips a record that does not pass a condition."""
    return _filtered(shown, value[:_COMPARED]) if isinstance(value, str) else _of_value(shown, value)


def dropped_action(action: str) -> Skipped:
    """Skips a record with an action that the mapping drops."""
    return _dropped_action(action[:_COMPARED])


@lru_cache  # Most records of a topic may be skipped, and have few values.
def _filtered(shown: str, value: str) -> Skipped:
    return _of_value(shown, value)


def _of_value(shown: str, value: Any) -> Skipped:
    return Skipped(SkipReason.FILTER, f"{shown} is {quote_json(value)}")


@lru_cache
def _dropped_action(action: str) -> Skipped:
    return Skipped(SkipReason.ACTION, quote_json(action))


def no_action(shown: str, action: Any, value: Any) -> Rejection:
    if action is None:
        return missing("action", shown, value)
    return Rejection(f"action is {quote_json(action)}: a text is expected at {shown}", "action")


def missing(name: str, shown: str, value: Any) -> Rejection:
    return Rejection(f"{name} is missing: no {shown} in {quote_json(value)}", name)


def skipped_without(name: str, shown: str) -> Skipped:
    """Skips a record without a field that the mapping lets be missing."""
    return Skipped(SkipReason.MISSING, f"{name}: no {shown}")


def no_time(shown: str, error: Exception) -> Rejection:
    return Rejection(f"event_time_ms at {shown}: {error}", "event_time_ms")


def plain(value: Any) -> Any:
    """A value of another format than JSON as a text or a number. The judge drops a value that stays another."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else text_of(value) if isinstance(value, bytes) else value


def add_all(value: Any, attributes: dict[str, Any], fields: dict[str, Any]) -> None:
    """Add the fields of an object as attributes. An attribute that the mapping names comes before one of this name."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            attributes.setdefault(name, plain(one))
    elif not attributes:
        fields[ATTRIBUTES] = value  # The judge drops and counts attributes that are not an object.


def price(value: Any) -> Any:
    """A price as a number where the value is a price. The judge drops another value."""
    if value.__class__ is not str:
        return plain(value)
    number = price_from_text(value)
    return value if number is None or not 0 <= number < math.inf else number


def has_surrogates(text: str) -> bool:
    """Whether a text holds half a surrogate pair, or a byte outside UTF-8."""
    return not is_unicode(text)


def texts_of(attributes: dict[str, Any]) -> str:
    """The names and the values as one text, with halves of surrogate pairs as they are."""
    return "".join(attributes) + "".join(map(str, attributes.values()))
