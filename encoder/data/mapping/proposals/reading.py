"""What a mapping makes of a sample of records."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.contract.judge import DroppedField
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping.mapping import Mapping
from encoder.data.mapping.records import Skipped, SourceRecord

Kind = TypeVar("Kind", str, Skipped)
_KIND_CHARACTERS = 80  # of a reason without its values, which tell the kind of the reason
_MOST_KINDS = 1_000  # of each outcome, because a topic may have many values and a command may run for months
_OTHERS = "other values"
_VALUES = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d+| in [{\[].*", re.DOTALL)


@dataclass
class Reading:
    """The records of a sample by outcome: `records == read + skipped + rejected`."""

    records: int = 0
    read: int = 0  # records that became one event or more
    events: int = 0
    first_events: list[IncomingEvent] = field(default_factory=list)
    skipped: Counter[Skipped] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)  # the kind of the reason -> records
    reasons: dict[str, str] = field(default_factory=dict)  # the kind of a reason -> the first such reason
    dropped: Counter[str] = field(default_factory=Counter)  # optional field and reason -> events without the field

    def add_rejected(self, reason: str) -> None:
        """Count a record that would become a dead letter."""
        self._add_rejected(_VALUES.sub("", reason)[:_KIND_CHARACTERS], reason)

    def add_dropped(self, path_and_reason: str, count: int = 1) -> None:
        """Count so many events without an optional field."""
        self.dropped[_kept(self.dropped, path_and_reason, _OTHERS)] += count

    def add_skipped(self, skipped: Skipped, count: int = 1) -> None:
        """Count so many skipped records."""
        self.skipped[_kept(self.skipped, skipped, Skipped(skipped.reason, _OTHERS))] += count

    def add(self, other: "Reading") -> None:
        """Add the records of another reading. The first events stay as they are."""
        self.records += other.records
        self.read += other.read
        self.events += other.events
        for skipped, count in other.skipped.items():
            self.add_skipped(skipped, count)
        for kind, count in other.rejected.items():
            self._add_rejected(kind, other.reasons[kind], count)
        for path_and_reason, count in other.dropped.items():
            self.add_dropped(path_and_reason, count)

    def _add_rejected(self, kind: str, reason: str, count: int = 1) -> None:
        kind = _kept(self.rejected, kind, _OTHERS)
        self.rejected[kind] += count
        self.reasons.setdefault(kind, reason)


def _kept(counts: Counter[Kind], kind: Kind, others: Kind) -> Kind:
    """The kind, or `others` where the counts have as many kinds as they may have."""
    return kind if kind in counts or len(counts) < _MOST_KINDS else others


def read_sample(mapping: Mapping, sample: Iterable[SourceRecord | Rejection], shown: int = 0) -> Reading:
    """Read a sample by a mapping. shown: how many events to keep. A rejection stands for a value that is unreadable."""
    reading = Reading()
    for record in sample:
        events = read_record(mapping, record, reading)
        reading.first_events += events[: shown - len(reading.first_events)]
    return reading


def read_record(mapping: Mapping, record: SourceRecord | Rejection, reading: Reading) -> tuple[IncomingEvent, ...]:
    """The events of a record, which is counted in the reading."""
    judged = judge_record(mapping, record, reading)
    return judged if isinstance(judged, tuple) and not isinstance(judged, Skipped | Rejection) else ()


def judge_record(
    mapping: Mapping, record: SourceRecord | Rejection, reading: Reading
) -> tuple[IncomingEvent, ...] | Skipped | Rejection:
    """What the mapping makes of a record, which is counted in the reading."""
    reading.records += 1
    lost: list[DroppedField] = []
    judged = record if isinstance(record, Rejection) else mapping.judge(record, lost)
    if isinstance(judged, Rejection):
        reading.add_rejected(judged.reason)
    elif isinstance(judged, Skipped):
        reading.add_skipped(judged)
    else:
        reading.read += 1
        reading.events += len(judged)
        for one in lost:
            reading.add_dropped(f"{one.path} ({one.reason.replace('_', ' ')})")
    return judged
