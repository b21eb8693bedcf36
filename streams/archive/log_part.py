"""Begins an archive with the events of a log, at negative offsets (`streams.archive.layout`).

The archive is there when its description is, which is written last. A process that is killed before leaves segments
without a description, and the next process deletes them and begins anew.
"""

from collections.abc import Iterable, Iterator

import msgspec
import pyarrow as pa

from streams.archive import writer
from streams.archive.files import ArchiveFiles
from streams.archive.layout import (
    CLAIMS,
    DESCRIPTION,
    EVENTS,
    GAPS,
    SEGMENTS,
    Description,
    Segment,
    Span,
    parse_events_path,
    parse_span,
    segment_path,
)
from streams.archive.reader import read_description
from streams.archive.schema import SCHEMA
from streams.config.errors import ArchiveError, InputError


def check_new(files: ArchiveFiles) -> None:
    """Raises InputError where there is an archive already, or what is no beginning of one. Raises ArchiveError."""
    if read_description(files) is not None:
        raise InputError(
            f"archive {files.address} exists already, and only a new archive begins with a log: `thalweg archive --to "
            f"{files.address}` without --log goes on with the archive; name another archive to begin with the log"
        )
    _unfinished(files)


def delete_unfinished(files: ArchiveFiles) -> None:
    """Delete what a process left that was killed. Raises what `check_new` raises."""
    for path in _unfinished(files):
        files.delete(path)


def _unfinished(files: ArchiveFiles) -> list[str]:
    """The files of a log part without a description."""
    found = []
    for folder, parse in ((SEGMENTS, parse_span), (EVENTS, parse_events_path), (CLAIMS, None), (GAPS, None)):
        for name in files.names(folder):
            parsed = None if parse is None else parse(name)
            if parsed is None or not parsed[1].is_of_log:
                raise InputError(
                    f"{files.address} holds {folder}/{name} and no {DESCRIPTION}: name a place without files for a new "
                    "archive"
                )
            found.append(f"{folder}/{name}")
    return found


def write_log_part(
    files: ArchiveFiles, topic: str, partition: int, rows: int, tables: Iterable[pa.Table], end: int
) -> Iterator[Segment]:
    """Write the log's events of a partition, and yield each segment.

    tables: `rows` events in order, with the columns of SCHEMA but for the position. end: the offset at which the
    archive begins to copy the topic. Raises ArchiveError.
    """
    at = -max(1, rows)
    if not rows:
        yield _commit(files, partition, Segment(first=at, last=end - 1, files=()))
    for table in _segments(tables):
        following = at + table.num_rows
        span = Span(at, end - 1 if following == 0 else following - 1)
        written = writer.write_rows(files, partition, span, _placed(table, topic, partition, at), files.new_revision())
        yield _commit(files, partition, Segment(first=span.first, last=span.last, files=tuple(written)))
        at = following
    assert at == (0 if rows else -1), "the log has as many events as were counted"


def complete(files: ArchiveFiles, description: Description) -> None:
    """Make the archive known, when the log's events of all partitions are written. Raises InputError, ArchiveError."""
    if not files.create(DESCRIPTION, msgspec.json.encode(description)):
        raise InputError(f"another command has begun archive {files.address} at the same time: name another archive")


def _segments(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of the size of a segment."""
    waiting: list[pa.Table] = []
    rows = size = 0
    limit = writer.SEGMENT_ROWS
    for table in (whole.slice(at, limit) for whole in tables for at in range(0, whole.num_rows, limit)):
        waiting.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= limit or size >= writer.SEGMENT_BYTES:
            yield pa.concat_tables(waiting)
            waiting, rows, size = [], 0, 0
    if rows:
        yield pa.concat_tables(waiting)


def _placed(table: pa.Table, topic: str, partition: int, first: int) -> pa.Table:
    """The rows with their positions, each event as a record of its own."""
    count = table.num_rows
    columns = {name: table.column(name) for name in table.schema.names}
    columns["topic"] = pa.repeat(topic, count)
    columns["partition"] = pa.repeat(pa.scalar(partition, pa.int32()), count)
    columns["offset"] = pa.array(range(first, first + count), pa.int64())
    columns["line"] = pa.repeat(pa.scalar(0, pa.int32()), count)
    placed = pa.table({one.name: columns[one.name] for one in SCHEMA})
    encoded = [
        column.combine_chunks().dictionary_encode() if pa.types.is_dictionary(one.type) else column.cast(one.type)
        for one, column in zip(SCHEMA, placed.columns, strict=True)
    ]
    return pa.Table.from_arrays(encoded, schema=SCHEMA)


def _commit(files: ArchiveFiles, partition: int, segment: Segment) -> Segment:
    path = segment_path(partition, Span(segment.first, segment.last))
    if not files.create(path, msgspec.json.encode(segment)):
        raise ArchiveError(f"archive {files.address} has {path} already, which another command has written")
    return segment
