"""Adds segments to an archive.

A segment is written in four steps: its rows are collected in memory; `create` of its claim decides where the segment
ends; its Parquet files are written; `create` of its JSON file commits the segment. A process that is killed leaves a
claim at most, and files that no segment lists. The next process reads the same offsets up to the same end, writes the
same rows, and deletes what no segment lists. Nothing of the first attempt remains.

In a bucket, two processes may write the same segment at once, and the slower one is refused at `create`. Retention may
have deleted records between the two, so their rows may differ. Each of them writes files of names of its own, and the
process that is refused deletes its files.
"""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streams.archive.columns import to_batch
from streams.archive.files import ArchiveFiles
from streams.archive.layout import (
    CLAIMS,
    DAY_MS,
    DESCRIPTION,
    EVENTS,
    SEGMENTS,
    Claim,
    Description,
    Segment,
    SegmentFile,
    Span,
    claim_path,
    events_path,
    gap_path,
    next_revision,
    parse_claim,
    parse_events_path,
    segment_path,
)
from streams.archive.reader import ArchiveReader, check_description, read_description
from streams.archive.schema import SCHEMA
from streams.config.errors import InputError
from streams.engine.codec import Outcome

# A segment ends with the batch of records that reaches one of the two. Whoever reads a segment holds it in memory.
SEGMENT_ROWS = 500_000
SEGMENT_BYTES = 64 * 1024 * 1024
_encode = msgspec.json.encode


def open_archive(files: ArchiveFiles, description: Description) -> ArchiveReader:
    """The archive at these files, which is made where it is missing.

    Raises InputError where the archive belongs to another topic incarnation or another decoder, and where the object
    store ignores the condition of a write. Raises ArchiveError.
    """
    if read_description(files) is None and files.names(SEGMENTS):
        raise InputError(
            f"archive {files.address} has segments and no {DESCRIPTION}: where `thalweg archive --log` was stopped, "
            "run that command again, and name another archive otherwise"
        )
    files.create(DESCRIPTION, _encode(description))
    found = read_description(files)
    if found is None or files.create(DESCRIPTION, _encode(found)):
        raise InputError(
            f"archive {files.address}: the object store overwrites an object where the request says "
            "`If-None-Match: *`, so two processes could write the same segment: name an archive in another object store"
        )
    check_description(files.address, found, description.topic, description.topic_id, description.decoder)
    return ArchiveReader(files, found)


def first_claims(files: ArchiveFiles) -> dict[int, int]:
    """By partition, the offset of the first claim. An archive begins there, also where no segment is written yet."""
    found: dict[int, int] = {}
    for partition, first in filter(None, map(parse_claim, files.names(CLAIMS))):
        found[partition] = min(first, found.get(partition, first))
    return found


def delete_leftovers(files: ArchiveFiles, segments: Collection[tuple[int, Span]]) -> None:
    """Delete the files of these segments that no segment lists, as a process leaves them that was killed or refused.

    segments: written ones, by partition and offsets. A file that a removal writes at the moment stays: a removal in a
    bucket takes another lock. Raises ArchiveError.
    """
    # A removal may replace a segment meanwhile, so the names come first: a later list of files spares what it names.
    names = {f"{EVENTS}/{name}" for name in files.names(EVENTS) if parse_events_path(name) in segments}
    contents = [files.read(segment_path(partition, span)) for partition, span in segments]
    listed = {file.path for content in contents for file in msgspec.json.decode(content, type=Segment).files}
    for path in names - listed - set(map(next_revision, listed)):
        files.delete(path)


class SegmentWriter:
    """Collects the rows of one segment, and writes the segment."""

    def __init__(self, files: ArchiveFiles, topic: str, partition: int, first: int) -> None:
        """first: the offset that follows the archive's last segment of the partition. Raises ArchiveError."""
        self._files = files
        self._topic = topic
        self.partition = partition
        self._first = first
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._revision = files.new_revision()
        self.records = 0
        self.claimed = self._claim()

    @property
    def is_full(self) -> bool:
        """Whether a segment without a claim ends here."""
        return self._rows >= SEGMENT_ROWS or self._bytes >= SEGMENT_BYTES

    def add(self, records: Sequence[Any], outcomes: Sequence[Outcome]) -> None:
        """records: the next ones of the partition, with `.offset` and `.timestamp` (ms). outcomes: what each is."""
        if not records:
            return
        batch = to_batch(self._topic, self.partition, records, outcomes)
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        self.records += len(records)

    def add_gap(self, gap: Span) -> None:
        """Note that the topic does not hold these offsets any more. Raises ArchiveError."""
        self._files.create(gap_path(self.partition, gap), _encode(gap._asdict()))

    def commit(self, last: int) -> Segment:
        """Write the segment, which covers the offsets up to `last`. Raises ArchiveError.

        Raises InputError where another process writes the same segment.
        """
        path = claim_path(self.partition, self._first)
        if self.claimed is None and not self._files.create(path, _encode(Claim(last=last))):
            raise self._refusal()
        span = Span(self._first, last)
        segment = Segment(first=span.first, last=last, files=tuple(self._write_files(span)))
        is_committed = self._files.create(segment_path(self.partition, span), _encode(segment))
        if not is_committed or self.claimed is not None:
            delete_leftovers(self._files, {(self.partition, span)})
        if not is_committed:
            raise self._refusal()
        return segment

    def _claim(self) -> int | None:
        """Where the segment ends, if that is decided."""
        try:
            content = self._files.read(claim_path(self.partition, self._first))
        except FileNotFoundError:
            return None
        return msgspec.json.decode(content, type=Claim).last

    def _write_files(self, span: Span) -> list[SegmentFile]:
        if not self._batches:
            return []
        table = pa.Table.from_batches(self._batches, SCHEMA).unify_dictionaries()
        return write_rows(self._files, self.partition, span, table, self._revision)

    def _refusal(self) -> InputError:
        return InputError(
            f"another process has written the segment of partition {self.partition} from offset {self._first} to "
            f"archive {self._files.address} at the same time: run one `thalweg archive` for an archive; nothing is "
            "lost or written twice, and the next run goes on"
        )


def write_rows(files: ArchiveFiles, partition: int, span: Span, table: pa.Table, revision: int) -> list[SegmentFile]:
    """Write the rows of a segment, of SCHEMA and at least one, with a file for each day. Raises ArchiveError."""
    day = np.asarray(table.column("record_timestamp_ms")) // DAY_MS
    if not day[0] == day.max() == day.min():
        order = np.argsort(day, kind="stable")
        table, day = table.take(order), day[order]
    found = []
    starts = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist(), len(day)]
    for start, end in itertools.pairwise(starts):
        path, data = events_path(int(day[start]), partition, span, revision), parquet(table.slice(start, end - start))
        files.write(path, data)
        found.append(SegmentFile(path=path, rows=end - start, bytes=len(data)))
    return found


def parquet(table: pa.Table) -> bytes:
    """The rows as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
