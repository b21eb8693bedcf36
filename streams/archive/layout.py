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
gap. The file of a segment that a removal has written anew carries a revision: `FIRST-LAST.REVISION.parquet`. In a
bucket, every file of events carries one, which begins with a random number of the process.
"""

import re
from typing import NamedTuple

import msgspec
import numpy as np

FORMAT = 1
DESCRIPTION = "archive.json"
LOCK = "lock"
EVENTS, SEGMENTS, CLAIMS, GAPS = "events", "segments", "claims", "gaps"
DAY_MS = 86_400_000

_CLAIM = re.compile(r"^partition=(\d+)/(\d{20})\.json$")
_SPAN = re.compile(r"^partition=(\d+)/(\d{20})-(\d{20})\.json$")
_EVENT_FILE = re.compile(r"^day=[^/]+/partition=(\d+)/(\d{20})-(\d{20})(?:\.\d+)?\.parquet$")


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The one topic incarnation and the one decoder that an archive belongs to.

    topic_id: the id that the topic's incarnation has at the broker. decoder: the name of a `RecordDecoder`.
    """

    format: int
    topic: str
    topic_id: str
    decoder: str


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
        return f"{self.first:020d}-{self.last:020d}"


def segment_path(partition: int, span: Span) -> str:
    return f"{SEGMENTS}/partition={partition}/{span.name}.json"


def gap_path(partition: int, span: Span) -> str:
    return f"{GAPS}/partition={partition}/{span.name}.json"


def claim_path(partition: int, first: int) -> str:
    return f"{CLAIMS}/partition={partition}/{first:020d}.json"


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
    return found and (int(found[1]), int(found[2]))


def parse_span(name: str) -> tuple[int, Span] | None:
    """Partition and offsets from a name below `segments` or `gaps`; None for another file."""
    found = _SPAN.match(name)
    return found and (int(found[1]), Span(int(found[2]), int(found[3])))


def parse_events_path(name: str) -> tuple[int, Span] | None:
    """Partition and segment from a name below `events`; None for another file."""
    found = _EVENT_FILE.match(name)
    return found and (int(found[1]), Span(int(found[2]), int(found[3])))
