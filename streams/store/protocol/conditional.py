"""Conditional statements of CQL (lightweight transactions): times as Cassandra keeps them, and the answer."""

from datetime import datetime
from typing import Any


def to_milliseconds(time: datetime) -> datetime:
    """A time as Cassandra keeps it."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def was_applied(answer: Any) -> bool:
    """Whether a conditional statement found its condition. The first column of the answer says so."""
    return bool(next(iter(answer))[0])
