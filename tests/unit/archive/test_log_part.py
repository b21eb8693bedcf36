"""The log part of an archive: names, segments, and what a process leaves that was killed."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.archive import writer
from streams.archive.columns import ArchivedRecord, to_batch, to_outcomes
from streams.archive.files import ArchiveFiles, open_files
from streams.archive.layout import (
    DAY_MS,
    Description,
    Log,
    Span,
    claim_path,
    events_path,
    next_revision,
    parse_claim,
    parse_events_path,
    parse_span,
    segment_path,
)
from streams.archive.log_part import check_new, complete, delete_unfinished, write_log_part
from streams.archive.reader import ArchiveReader
from streams.archive.removal import Erasure, remove_user
from streams.archive.writer import SegmentWriter, open_archive
from streams.config.errors import InputError
from tests.support.archives import DESCRIPTION, view

WITH_LOG = Description(
    format=2, topic="events", topic_id="1-2", decoder="the event contract", log=Log(id="ab", until_ms=9_000)
)
offsets = st.one_of(st.integers(-(2**44), 2**44), st.integers(-3, 3))
spans = st.tuples(offsets, offsets).map(lambda pair: Span(min(pair), max(pair)))


@given(spans, spans)
def test_names_tell_their_offsets_and_sort_as_their_offsets_do(one: Span, other: Span) -> None:
    below = segment_path(3, one).partition("/")[2]
    assert parse_span(below) == (3, one)
    events = events_path(20_000, 3, one).partition("/")[2]
    assert parse_events_path(events) == parse_events_path(next_revision(events)) == (3, one)
    assert parse_claim(claim_path(3, one.first).partition("/")[2]) == (3, one.first)
    assert (segment_path(3, one) < segment_path(3, other)) == (one < other)


def table_of(numbers: range) -> pa.Table:
    """Views of three users in turns, each a third of a day after the one before."""
    events = [view(f"u{number % 3}", number * DAY_MS // 3_000) for number in numbers]
    batch = to_batch("", 0, [ArchivedRecord(0, one.event_time_ms) for one in events], events)
    return pa.Table.from_batches([batch]).drop_columns(["topic", "partition", "offset", "line"])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveFiles:
    """Return an archive with 10 events of a log in partition 0 and none in partition 1, which copies from 5 and 0."""
    monkeypatch.setattr(writer, "SEGMENT_ROWS", 4)
    found = open_files(str(tmp_path))
    tables = [table_of(range(at, at + 2)) for at in range(0, 10, 2)]
    assert [(one.first, one.last) for one in write_log_part(found, "events", 0, 10, tables, 5)] == [
        (-10, -7),
        (-6, -3),
        (-2, 4),
    ]
    assert [(one.first, one.last) for one in write_log_part(found, "events", 1, 0, [], 0)] == [(-1, -1)]
    complete(found, WITH_LOG)
    return found


def test_the_log_and_the_topic_are_one_history(files: ArchiveFiles) -> None:
    archive = open_archive(files, DESCRIPTION)
    assert archive.description == WITH_LOG, "a plain run goes on with the archive"
    segment = SegmentWriter(files, "events", 0, 5)
    segment.add([ArchivedRecord(6, 11 * DAY_MS)], [view("u", 7)])
    segment.commit(8)
    archive.refresh()
    batches = list(archive.read(0, rows=3))
    read = [offset for batch in batches for offset in batch.column("offset").to_pylist()]
    assert read == [*range(-10, 0), 6]
    events = [event for batch in batches for event in to_outcomes(batch)[1]]
    assert [event.event_time_ms for event in events[:10]] == [n * DAY_MS // 3_000 * 1_000 for n in range(10)]
    assert next(archive.read(0, -2, 5)).column("offset").to_pylist() == [-2, -1]
    assert (archive.begin(0), archive.complete_from(0), archive.log_end(0), archive.end(0)) == (-10, -10, 5, 9)
    assert (archive.begin(1), archive.log_end(1), archive.end(1)) == (-1, 0, 0)
    assert [archive.records_from(partition, None) for partition in (0, 1)] == [10 + 4, 1]
    assert [archive.records_from(0, first) for first in (-3, 0, 8)] == [3 + 4, 4, 1]


def test_a_removal_takes_the_users_events_of_the_log(files: ArchiveFiles) -> None:
    segment = SegmentWriter(files, "events", 0, 5)
    segment.commit(8)
    reader = ArchiveReader(files, WITH_LOG)
    remove_user(reader, "u1", Erasure(0, 6, 10**12))
    reader.refresh()
    users = [user for batch in reader.read(0) for user in batch.column("user_id").to_pylist()]
    assert users == ["u0", "u2"] * 3 + ["u0"]


def test_only_a_new_archive_begins_with_a_log(files: ArchiveFiles, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        check_new(files)
    with pytest.raises(InputError, match="at the same time"):
        complete(files, WITH_LOG)
    (tmp_path / "archive.json").unlink()
    with pytest.raises(InputError, match=r"has segments and no archive\.json: where `thalweg archive --log` was"):
        open_archive(files, DESCRIPTION)
    check_new(files)
    delete_unfinished(files)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_segments_of_a_topic_are_never_deleted(files: ArchiveFiles, tmp_path: Path) -> None:
    SegmentWriter(files, "events", 0, 5).commit(8)
    (tmp_path / "archive.json").unlink()
    for check in (check_new, delete_unfinished):
        with pytest.raises(InputError, match=r"and no archive\.json: name a place without files"):
            check(files)
    assert len(files.names("segments")) == 5
