"""The names of an archive's files, and the contents of its JSON files. Pure.

```
archive.json                                             what the archive holds
events/day=YYYY-MM-DD/partition=N/FIRST-LAST.parquet     rows of a segment whose records have a timestamp of this day
segments/partition=N/FIRST-LAST.json                     commit of a segment, written after all files of the segment
claims/partition=N/FIRST.json                            where the segment from FIRST ends, decided before it is written
gaps/partition=N/FIRST-LAST.json                         offsets that retention deleted before they were archived
lock                                                     held by the process that changes the archive
```

Offsets in names have 20 digits. A segment covers the offsets from FIRST to LAST, both included, and the segments of a
partition join without gaps. An offset without a row held no record for a reader of committed records, or belongs to a
gap.

Where the archive begins with a log, the events of the log have negative offsets, of which the last one is -1. The last
segment of the log goes on up to the offset at which the archive begins to copy the topic. So each partition has a
segment with a negative first offset. A negative offset in a name is a minus and 19 digits, which are the offset plus
10^19, so names sort as their offsets do.

The file of a segment that a removal has written anew carries a revision: `FIRST-LAST.REVISION.parquet`. In a
bucket, every file of events carries one, which begins with a random number of the process.
"""

import re
from typing import NamedTuple

import msgspec
import numpy as np

FORMAT, FORMAT_WITH_LOG = 1, 2  # An archive without a log keeps the format that earlier versions read.
DESCRIPTION = "archive.json"
LOCK = "lock"
EVENTS, SEGMENTS, CLAIMS, GAPS = "events", "segments", "claims", "gaps"
DAY_MS = 86_400_000

_NEGATIVE = 10**19  # is added to a negative offset in a name
_OFFSET = r"(\d{20}|-\d{19})"
_CLAIM = re.compile(rf"^partition=(\d+)/{_OFFSET}\.json$")
_SPAN = re.compile(rf"^partition=(\d+)/{_OFFSET}-{_OFFSET}\.json$")
_EVENT_FILE = re.compile(rf"^day=[^/]+/partition=(\d+)/{_OFFSET}-{_OFFSET}(?:\.\d+)?\.parquet$")


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The log with which an archive begins.

    id: made by chance for each archive, because the offsets of its events are those of this archive alone. until_ms:
    the events of the log are those before this time, in milliseconds since 1970-01-01 UTC.
    """

    id: str
    until_ms: int


class Description(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one topic incarnation and the one decoder that an archive belongs to.

    topic_id: the id that the topic's incarnation has at the broker. decoder: the name of a `RecordDecoder`.
    """

    format: int
    topic: str
    topic_id: str
    decoder: str
    log: Log | None = None


class SegmentFile(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file of a segment. path: relative to the archive."""

    path: str
    rows: int
    bytes: int


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The commit of a segment: the offsets from `first` to `last`, both included, and the files with their rows."""

    first: int
    last: int
    files: tuple[SegmentFile, ...]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The last offset of a segment that is not written yet."""

    last: int


class Span(NamedTuple):
    """Offsets of a partition from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{_name(self.first)}-{_name(self.last)}"

    @property
    def is_of_log(self) -> bool:
        return self.first < 0

    @property
    def last_row(self) -> int:
        """The offset behind which the segment holds no row for certain."""
        return min(self.last, -1) if self.is_of_log else self.last


def _name(offset: int) -> str:
    return f"{offset:020d}" if offset >= 0 else f"-{_NEGATIVE + offset:019d}"


def _offset(name: str) -> int:
    return int(name) if name[0] != "-" else int(name[1:]) - _NEGATIVE


def segment_path(partition: int, span: Span) -> str:
    return f"{SEGMENTS}/partition={partition}/{span.name}.json"


def gap_path(partition: int, span: Span) -> str:
    return f"{GAPS}/partition={partition}/{span.name}.json"


def claim_path(partition: int, first: int) -> str:
    return f"{CLAIMS}/partition={partition}/{_name(first)}.json"


def events_path(day: int, partition: int, span: Span, revision: int = 0) -> str:
    """day: days since 1970-01-01. revision: where the writer begins, and one more for each removal."""
    suffix = f".{revision}" if revision else ""
    return f"{EVENTS}/day={np.datetime64(day, 'D')}/partition={partition}/{span.name}{suffix}.parquet"


def next_revision(path: str) -> str:
    """The path of a Parquet file when a removal writes the file anew."""
    whole, _, _ = path.rpartition(".parquet")
    name, _, revision = whole.rpartition(".")
    return f"{name}.{int(revision) + 1}.parquet" if name and revision.isdigit() else f"{whole}.1.parquet"


def parse_claim(name: str) -> tuple[int, int] | None:
    """Partition and first offset from a name below `claims`; None for another file."""
    found = _CLAIM.match(name)
    return found and (int(found[1]), _offset(found[2]))


def parse_span(name: str) -> tuple[int, Span] | None:
    """Partition and offsets from a name below `segments` or `gaps`; None for another file."""
    found = _SPAN.match(name)
    return found and (int(found[1]), Span(_offset(found[2]), _offset(found[3])))


def parse_events_path(name: str) -> tuple[int, Span] | None:
    """Partition and segment from a name below `events`; None for another file."""
    found = _EVENT_FILE.match(name)
    return found and (int(found[1]), Span(_offset(found[2]), _offset(found[3])))
