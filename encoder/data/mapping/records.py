"""What a mapping reads, and what a record can be apart from events and rejections."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple


class SourceRecord(NamedTuple):
    """A record of a topic, or a row of a log, whose value is decoded."""

    value: Any  # a decoded object, usually a dictionary; None where the record has no value
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int = -1  # of the record; negative: the record has no timestamp


class SkipReason(StrEnum):
    """Why a record is no event by the mapping. The values are labels of a metric."""

    ACTION = "action"  # the mapping drops the action of the record
    FILTER = "filter"  # the record does not pass a condition `where` of the mapping
    MISSING = "missing"  # there is no user or no item, and the mapping says so in `skip_without`
    NO_LINES = "no_lines"  # the list of lines is empty
    TOMBSTONE = "tombstone"  # the record has no value


class Skipped(NamedTuple):
    """A record that is no event by the mapping. Such a record is counted by its reason, and is no dead letter."""

    reason: SkipReason
    value: str  # the value that decided, as JSON, cut to a few characters
