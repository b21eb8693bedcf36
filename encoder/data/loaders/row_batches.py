"""The rows of a log file in batches, and the interface of a log format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from encoder.data.events import BehaviorEvent

BATCH_ROWS = 8192


class UnusableRow(NamedTuple):
    """Stands in the place of an event when a row of the file is not an event."""

    reason: str
    user_id: str = ""  # "" when the row has no user id


@dataclass
class RowBatch:
    """Consecutive rows of a file, with one event for each row. A line that holds several events makes several rows."""

    lines: Sequence[int]  # the line of each row in the file, counted from 1
    raw: list[bytes]  # the rows as the file holds them, without line ends
    events: list[BehaviorEvent | UnusableRow]


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
