"""Finds and removes what an archive holds of a user who was erased.

All rows of the user go up to an erasure, with the row of the erasure itself. Whoever recomputes states from the rows
that are left gets no user, which is what the erasure has left too. Rows after the erasure stay, because they belong to
a user who came back. A reason of a rejected or skipped record may quote the user's id, so such a reason is replaced by
REMOVED. A reason is replaced where the id stands anywhere in it, and a very short id stands in many reasons.

Only files with such rows are written anew. For each segment: the new files, then the segment's JSON file, then the old
files are deleted. The JSON file decides what a reader sees, so a reader sees the segment as before or as after. A
removal that was killed is started again, and deletes files that no segment lists.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streams.archive.layout import EVENTS, Segment, SegmentFile, Span, next_revision, parse_events_path, segment_path
from streams.archive.reader import ArchiveReader, read_rows
from streams.archive.schema import ERASURE
from streams.archive.writer import parquet
from streams.config.errors import ArchiveError, InputError

REMOVED = "removed with an erased user"
_CUT = "…"  # ends a value that a reason shows in part
_SHOWN = 60  # characters of an id that a reason shows at least
_READ = ["user_id", "offset", "record_timestamp_ms", "field", "reason"]
_LEAST = 4  # characters of an id by which a value that is cut is recognised


class WrittenAnew(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the archive that a removal has written anew.

    after: None where no row is left. rows: rows of the user that are gone. reasons: reasons that quoted the id.
    """

    before: str
    after: str | None
    rows: int
    reasons: int


class Erasure(NamedTuple):
    """The position and the time of the record that erases a user."""

    partition: int
    offset: int
    timestamp_ms: int


def find_user(reader: ArchiveReader, user_id: str) -> Iterator[pa.Table]:
    """The rows of a user, and those whose reason quotes the id, file by file and within a file in order.

    Raises ArchiveError.
    """
    quoted = Quoted(user_id)
    for _, _, file in _files(reader):
        table = read_rows(reader.files, file)
        is_of_user = np.asarray(pc.fill_null(pc.equal(table.column("user_id"), user_id), False), bool)
        rows = table.filter(pa.array(is_of_user | np.array(_quoting(table, quoted), bool)))
        if rows.num_rows:
            yield rows


def last_erasure(reader: ArchiveReader, user_id: str) -> Erasure | None:
    """The user's last erasure in the archive, None where the archive holds none. Raises ArchiveError."""
    found = [
        Erasure(partition, row["offset"], row["record_timestamp_ms"])
        for partition, _, file in _files(reader)
        for row in read_rows(reader.files, file, ["kind", "user_id", "offset", "record_timestamp_ms"])
        .filter((pc.field("user_id") == user_id) & (pc.field("kind") == ERASURE))
        .to_pylist()
    ]
    return max(found, key=lambda one: (one.timestamp_ms, one.offset), default=None)


def remove_user(reader: ArchiveReader, user_id: str, *erasures: Erasure) -> list[WrittenAnew]:
    """Remove the rows of a user up to an erasure, and return the files that were written anew.

    erasures: the records of one erasure, each in another partition.

    Empty where the archive holds nothing of the user any more. Raises InputError where the archive does not reach the
    erasure, and ArchiveError, also where another process changes the archive.
    """
    with reader.files.lock(of_removal=True):
        reader.refresh()
        for one in erasures:
            if one.offset >= (reader.end(one.partition) or 0):
                raise InputError(
                    f"archive {reader.files.address} ends before the erasure of user {user_id!r} at partition "
                    f"{one.partition} offset {one.offset}: run `thalweg archive`, then start the removal again"
                )
        _delete_unlisted(reader)
        quoted = Quoted(user_id)
        holders: dict[tuple[int, Span], None] = {}
        for partition, span, file in _files(reader):
            table = read_rows(reader.files, file, _READ)
            if _goes(table, partition, user_id, erasures).any() or any(_quoting(table, quoted)):
                holders[partition, span] = None
        return [
            one for partition, span in holders for one in _rewrite(reader, partition, span, user_id, erasures, quoted)
        ]


def _files(reader: ArchiveReader) -> Iterator[tuple[int, Span, SegmentFile]]:
    """All files, each with its partition and its segment."""
    for partition in reader.partitions:
        for segment in reader.segments(partition):
            for file in segment.files:
                yield partition, Span(segment.first, segment.last), file


class Quoted:
    """Recognises texts that quote an id, as `encoder.data.contract.quoting` does."""

    def __init__(self, user_id: str) -> None:
        forms = {user_id, ascii(user_id)[1:-1], json.dumps(user_id)[1:-1]}
        self._forms = {form[:_SHOWN] for form in forms}

    def is_in(self, text: str | None) -> bool:
        """Whether the text holds the id, or a value that is cut within the id."""
        if text is None:
            return False
        return any(form in text or self._is_cut(form, text) for form in self._forms)

    @staticmethod
    def _is_cut(form: str, text: str) -> bool:
        ends = [part[-_SHOWN:] for part in text.split(_CUT)[:-1]]
        return any(end.endswith(form[:length]) for end in ends for length in range(_LEAST, len(form)))


def _quoting(table: pa.Table, quoted: Quoted) -> list[bool]:
    """Whether a row's reason or value quotes the id, (n,) of the rows."""
    texts = [table.column(name).to_pylist() for name in ("field", "reason")]
    return [quoted.is_in(field) or quoted.is_in(reason) for field, reason in zip(*texts, strict=True)]


def _rewrite(
    reader: ArchiveReader, partition: int, span: Span, user_id: str, erasures: Sequence[Erasure], quoted: Quoted
) -> list[WrittenAnew]:
    """Write the files of one segment anew that hold the user."""
    files, path = reader.files, segment_path(partition, span)
    content = files.read(path)
    segment = msgspec.json.decode(content, type=Segment)
    kept: list[SegmentFile] = []
    done: list[WrittenAnew] = []
    for file in segment.files:
        table = read_rows(files, file)
        left, reasons = _without(table, partition, user_id, erasures, quoted)
        rows = table.num_rows - left.num_rows
        if not rows and not reasons:
            kept.append(file)
            continue
        after = next_revision(file.path) if left.num_rows else None
        if after is not None:
            data = parquet(left)
            files.write(after, data)
            kept.append(SegmentFile(path=after, rows=left.num_rows, bytes=len(data)))
        done.append(WrittenAnew(before=file.path, after=after, rows=rows, reasons=reasons))
    if done:
        if not files.replace(path, msgspec.json.encode(msgspec.structs.replace(segment, files=tuple(kept))), content):
            raise ArchiveError(
                f"another process has changed {path} of archive {files.address}: start the removal again"
            )
        for one in done:
            files.delete(one.before)
    return done


def _goes(table: pa.Table, partition: int, user_id: str, erasures: Sequence[Erasure]) -> NDArray[np.bool_]:
    """The rows that go, (n,) bool.

    In a partition with an erasure, the offset decides. Elsewhere the time of the record decides: the user's partition
    may have changed, and events in another partition came before.
    """
    offset = max((one.offset for one in erasures if one.partition == partition), default=None)
    if offset is not None:
        is_before = pc.less_equal(table.column("offset"), offset)
    else:
        last_ms = max((one.timestamp_ms for one in erasures), default=-1)
        is_before = pc.less_equal(table.column("record_timestamp_ms"), last_ms)
    is_of_user = pc.fill_null(pc.equal(table.column("user_id"), user_id), False)
    return np.asarray(pc.and_(is_of_user, is_before), bool)


def _without(
    table: pa.Table, partition: int, user_id: str, erasures: Sequence[Erasure], quoted: Quoted
) -> tuple[pa.Table, int]:
    """The rows that stay, and how many reasons were replaced."""
    left = table.filter(pa.array(~_goes(table, partition, user_id, erasures)))
    quotes = _quoting(left, quoted)
    if not any(quotes):
        return left, 0
    for name in ("field", "reason"):
        texts: list[Any] = left.column(name).to_pylist()
        replaced = [
            REMOVED if is_quoting and quoted.is_in(text) else text
            for text, is_quoting in zip(texts, quotes, strict=True)
        ]
        at = left.schema.get_field_index(name)
        left = left.set_column(at, left.schema.field(name), pa.array(replaced, pa.string()))
    return left, sum(quotes)


def _delete_unlisted(reader: ArchiveReader) -> None:
    """Delete the files of written segments that their segment does not list. A removal that was killed leaves some."""
    spans = {(partition, span) for partition in reader.partitions for span in reader.spans(partition)}
    listed = {file.path for _, _, file in _files(reader)}
    for name in reader.files.names(EVENTS):
        if parse_events_path(name) in spans and f"{EVENTS}/{name}" not in listed:
            reader.files.delete(f"{EVENTS}/{name}")
