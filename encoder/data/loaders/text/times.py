"""Parses the times of log files as milliseconds since 1970-01-01 UTC. An invalid text raises ValueError."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND = timedelta(milliseconds=1)


def from_seconds(text: str) -> int:
    """Parse seconds since 1970, which may have a fraction."""
    try:
        return round(float(text) * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f"time {text!r} is not a number of seconds") from None


def from_milliseconds(text: str) -> int:
    """Parse a whole number of milliseconds since 1970, which may be written as a float: 1700070445000.0 or 1.7e12."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        time_ms = float(text)
    except ValueError:
        time_ms = math.nan
    if not time_ms.is_integer():
        raise ValueError(f"time {text!r} is not a whole number of milliseconds")
    return int(time_ms)


@lru_cache(maxsize=4096)  # rows are often sorted by time, and many rows have the same second
def from_iso(text: str) -> int:
    """Parse a date, or a date and time, of ISO 8601. A time without a zone is UTC. `UTC` at the end is also a zone."""
    try:
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        raise ValueError(f"time {text!r} is not a date or time of ISO 8601") from None
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


UNITS: dict[str, Callable[[str], int]] = {"s": from_seconds, "ms": from_milliseconds, "iso": from_iso}
