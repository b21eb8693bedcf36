"""The rows of a log file in batches, before and after the judge, and the interface of a log format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict

from encoder.data.contract.judge import DroppedField, Verdict
from encoder.data.contract.rejection import is_unicode
from encoder.data.events import BehaviorEvent
from encoder.data.mapping import Skipped


class RawEvent(TypedDict, total=False):
    """The fields of an event as a row holds them. None and NaN stand for a missing value. The judge checks the fields.

    Ids are texts or None. A price may be a text.
    """

    event_id: str | None
    user_id: str | None
    item_id: str | None
    action: str | None
    event_time_ms: Any
    session_id: str | None
    category: str | None
    price: Any
    attributes: dict[str, Any] | None


class UnusableRow(NamedTuple):
    """Stands in the place of an event when a row of the file is not an event."""

    reason: str
    user_id: str = ""  # "" when the row has no user id


@dataclass
class RowBatch:
    """Consecutive rows of a file. A line that holds several events makes several rows."""

    lines: Sequence[int]  # the line of each row in the file, counted from 1
    raw: list[bytes]  # the rows as the file holds them, without line ends
    contents: Sequence[bytes | RawEvent | UnusableRow | Verdict]  # bytes: the JSON of an event
    skipped: Sequence[Skipped] = ()  # records of the file that are no events by a mapping, and no rows


@dataclass
class JudgedBatch:
    """The rows of a `RowBatch`, with one event for each row."""

    lines: Sequence[int]
    raw: list[bytes]
    events: list[BehaviorEvent | UnusableRow]
    dropped: list[tuple[int, DroppedField]]  # the line, and an optional field that the event of the line lost
    skipped: Sequence[Skipped] = ()


class LogFormat(Protocol):
    """One file format of an event log."""

    @property
    def rows_are_records(self) -> bool:
        """Whether the raw row is the record of its event. When this is False, the record is the event as JSON.

        A row that is not an event goes into the behaviour topic as a raw row in both cases.
        """
        ...

    def batches(self, path: Path) -> Iterator[RowBatch]:
        """Yield the file's rows in order, each row once. Raises InputError when the file does not have this format."""
        ...


def user_id_or_empty(value: object) -> str:
    """A value as the user id of a row that is not an event. "" when the value cannot be a user id."""
    return value if isinstance(value, str) and is_unicode(value) else ""
