"""Times of records as milliseconds since 1970-01-01 UTC. A value that is no such time raises ValueError."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

_EPOCH = datetime.fromtimestamp(0, UTC)
_parse_iso = datetime.fromisoformat
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MS_PER_DAY, _MS_PER_SECOND, _US_PER_MS = 86_400_000, 1_000, 1_000
# An earlier time in milliseconds is almost surely a time in seconds: the seconds of today have ten digits.
FIRST_PLAUSIBLE_MS = 1_000_000_000_000  # 2001-09-09

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
    first_ms = 0 if unit else FIRST_PLAUSIBLE_MS

    def read(value: Any) -> int:
        if value.__class__ is str:
            # A date and time has a dash behind the year. Other texts may be numbers, also those of eight digits.
            if value[4:5] == "-" or (number := _number(value)) is None:
                return _from_iso(value)
            value = number
        elif isinstance(value, datetime):
            return _since_epoch_ms(value)
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


def _from_iso(text: str) -> int:
    try:
        time = _parse_iso(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is neither a number nor a date and time of ISO 8601") from None
    return _since_epoch_ms(time)


def _since_epoch_ms(time: datetime) -> int:
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    # A division by a timedelta takes three times as long.
    return since.days * _MS_PER_DAY + since.seconds * _MS_PER_SECOND + since.microseconds // _US_PER_MS


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _to_ms(value: Any, per_second: int) -> int:
    if value.__class__ is int:
        return int(value * _MS_PER_SECOND // per_second)
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return math.floor(value * _MS_PER_SECOND / per_second)
    raise ValueError(f"{str(value)[:80]} is neither a number nor a text with a time")
