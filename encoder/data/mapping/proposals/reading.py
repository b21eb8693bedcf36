"""What a mapping makes of a sample of records."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.contract.judge import DroppedField
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping.mapping import Mapping
from encoder.data.mapping.records import Skipped, SourceRecord

_KIND_CHARACTERS = 80  # of a reason without its values, which tell the kind of the reason
_MOST_KINDS = 1_000  # of skipped records, whose values may be many
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d+| in [{\[].*", re.DOTALL)


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
        kind = _VALUES.sub("", reason)[:_KIND_CHARACTERS]
        self.rejected[kind] += 1
        self.reasons.setdefault(kind, reason)

    def add_skipped(self, skipped: Skipped, count: int = 1) -> None:
        """Count so many skipped records."""
        is_known = skipped in self.skipped or len(self.skipped) < _MOST_KINDS
        self.skipped[skipped if is_known else Skipped(skipped.reason, "other values")] += count

    def add(self, other: "Reading") -> None:
        """Add the records of another reading. The first events stay as they are."""
        self.records += other.records
        self.read += other.read
        self.events += other.events
        for skipped, count in other.skipped.items():
            self.add_skipped(skipped, count)
        self.rejected.update(other.rejected)
        self.reasons = other.reasons | self.reasons
        self.dropped.update(other.dropped)


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
        reading.dropped.update(f"{one.path} ({one.reason.replace('_', ' ')})" for one in lost)
    return judged
