"""Points in time as logs write them, in milliseconds since 1970-01-01 UTC. A text that is none raises ValueError."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND = timedelta(milliseconds=1)


def from_seconds(text: str) -> int:
    """Seconds since 1970, with or without a fraction."""
    try:
        return round(float(text) * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f"time {text!r} is no number of seconds") from None


def from_milliseconds(text: str) -> int:
    """Milliseconds since 1970, a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"time {text!r} is no whole number of milliseconds") from None


@lru_cache(maxsize=4096)  # rows often stand in order of time, many in one second
def from_iso(text: str) -> int:
    """A date, or date and time, of ISO 8601; UTC where it names no zone. `UTC` at its end is a zone as well."""
    try:
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        raise ValueError(f"time {text!r} is not of ISO 8601") from None
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


UNITS: dict[str, Callable[[str], int]] = {"s": from_seconds, "ms": from_milliseconds, "iso": from_iso}
