"""Times of records as milliseconds since 1970-01-01 UTC. A value that is no such time raises ValueError."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND = timedelta(milliseconds=1)
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MS_PER_SECOND = 1_000
# An earlier time in milliseconds is almost surely a time in seconds: the seconds of today have ten digits.
_FIRST_PLAUSIBLE_MS = 1_000_000_000_000  # 2001-09-09

ToMs = Callable[[Any], int]


class Milliseconds(int):
    """A time that is known to be in milliseconds. The unit of a mapping does not apply to such a value."""


def time_reader(unit: str | None) -> ToMs:
    """A function that turns a value into milliseconds.

    unit: a key of PER_SECOND for numbers, also for numbers that are texts. None: numbers are milliseconds, and a number
    that would be a time before 2001-09-09 is refused, because that number is almost surely in seconds. Other texts are
    dates and times of ISO 8601, and a text without a zone is UTC.
    """
    per_second = PER_SECOND[unit or "ms"]
    first_ms = 0 if unit else _FIRST_PLAUSIBLE_MS

    def read(value: Any) -> int:
        if value.__class__ is str:
            try:
                time = datetime.fromisoformat(value)
            except ValueError:
                value = _number(value)
            else:
                if len(value) > 8 or not value.isdigit():  # `20240131` is a date of ISO 8601 and also a number
                    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
                value = int(value)
        elif isinstance(value, datetime):
            return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
        if value.__class__ is Milliseconds:
            return int(value)
        time_ms = _to_ms(value, per_second)
        if 0 <= time_ms < first_ms:
            raise ValueError(
                f"{value} would lie before 2001-09-09 in milliseconds: give the unit of the time in the mapping, for "
                'example time = { from = "PATH", unit = "s" }'
            )
        return time_ms

    return read


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is neither a number nor a date and time of ISO 8601") from None


def _to_ms(value: Any, per_second: int) -> int:
    if value.__class__ is int:
        return int(value * _MS_PER_SECOND // per_second)
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return math.floor(value * _MS_PER_SECOND / per_second)
    raise ValueError(f"{str(value)[:80]} is neither a number nor a text with a time")
