"""Reading an archive: order, bounds, gaps, and what is no archive."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streams.archive import writer
from streams.archive.columns import ArchivedRecord, to_outcomes
from streams.archive.files import open_files
from streams.archive.layout import DAY_MS, Description, Span, segment_path
from streams.archive.reader import ArchiveReader, check_description
from streams.archive.writer import SegmentWriter, first_claims, open_archive
from streams.config.errors import ArchiveError, InputError
from streams.engine.codec import Erasure, Outcome, Several
from tests.support.archives import DESCRIPTION, view, write_segment


def offsets_of(reader: ArchiveReader, *bounds: int, rows: int = 10_000) -> list[list[int]]:
    return [batch.column("offset").to_pylist() for batch in reader.read(0, *bounds, rows=rows)]


def test_rows_of_several_days_come_in_the_order_of_offsets(tmp_path: Path) -> None:
    times = [(at * 7 % 5) * DAY_MS for at in range(40)]
    write_segment(tmp_path, 0, 10, times)
    write_segment(tmp_path, 0, 50, [0])
    folders = sorted(path.name for path in (tmp_path / "events").iterdir())
    assert folders == [f"day=1970-01-0{day}" for day in range(1, 6)]
    reader = ArchiveReader.open(str(tmp_path))
    assert offsets_of(reader) == [list(range(10, 50)), [50]]
    assert [one.timestamp for one in to_outcomes(next(reader.read(0)))[0]] == times
    assert offsets_of(reader, 47, 50) == [[47, 48, 49], [50]]
    assert offsets_of(reader, 12, 14, rows=2) == [[12, 13], [14]]
    assert (reader.partitions, reader.begin(0), reader.end(0), reader.complete_from(0)) == ([0], 10, 51, 10)
    assert (reader.begin(1), reader.end(1), reader.complete_from(1), offsets_of(reader, 51)) == (None, None, None, [])


def test_a_batch_holds_all_rows_of_its_records(tmp_path: Path) -> None:
    files = open_files(str(tmp_path))
    open_archive(files, DESCRIPTION)
    found: list[Outcome] = [Several("e1", "u", (view("u", 1), view("u", 2), view("u", 3))), Erasure("u"), view("u", 4)]
    segment = SegmentWriter(files, "events", 0, 0)
    segment.add([ArchivedRecord(at, 0) for at in (0, 3, 4)], found)
    segment.commit(6)
    reader = ArchiveReader.open(str(tmp_path))
    batches = list(reader.read(0, rows=2))
    assert [batch.num_rows for batch in batches] == [3, 2]
    assert [one for batch in batches for one in to_outcomes(batch)[1]] == found
    assert reader.end(0) == 7


def test_a_segment_without_rows_covers_its_offsets(tmp_path: Path) -> None:
    write_segment(tmp_path, 0, 0, [0])
    files = open_files(str(tmp_path))
    segment = SegmentWriter(files, "events", 0, 1)
    segment.add_gap(Span(1, 3))
    assert segment.commit(8).files == ()
    write_segment(tmp_path, 0, 9, [0])
    reader = ArchiveReader.open(str(tmp_path))
    assert offsets_of(reader) == [[0], [9]]
    assert (reader.begin(0), reader.end(0), reader.complete_from(0)) == (0, 10, 4)


def test_a_reader_finds_the_new_file_of_a_segment_that_was_written_anew(tmp_path: Path) -> None:
    write_segment(tmp_path, 0, 0, [0, 0])
    reader = ArchiveReader.open(str(tmp_path))
    [segment] = reader.segments(0)
    before = segment.files[0].path
    (tmp_path / before).rename(tmp_path / before.replace(".parquet", ".1.parquet"))
    path = tmp_path / segment_path(0, Span(0, 1))
    path.write_text(path.read_text().replace(".parquet", ".1.parquet"))
    assert offsets_of(reader) == [[0, 1]]
    (tmp_path / before.replace(".parquet", ".1.parquet")).unlink()
    with pytest.raises(ArchiveError, match="is damaged"):
        offsets_of(reader)


def test_segments_that_do_not_join_are_a_damage(tmp_path: Path) -> None:
    write_segment(tmp_path, 0, 0, [0, 0])
    write_segment(tmp_path, 0, 3, [0])
    with pytest.raises(ArchiveError, match="up to offset 1, and the following segment begins at offset 3"):
        ArchiveReader.open(str(tmp_path))


def test_a_file_with_fewer_rows_is_a_damage(tmp_path: Path) -> None:
    write_segment(tmp_path, 0, 0, [0, 0])
    path = tmp_path / segment_path(0, Span(0, 1))
    path.write_text(path.read_text().replace('"rows":2', '"rows":3'))
    with pytest.raises(ArchiveError, match="has 2 rows instead of 3"):
        offsets_of(ArchiveReader.open(str(tmp_path)))


def test_what_is_no_archive_or_another_archive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no archive at"):
        ArchiveReader.open(str(tmp_path))
    with pytest.raises(InputError, match="neither a folder nor"):
        ArchiveReader.open("gs://bucket")
    files = open_files(str(tmp_path))
    reader = open_archive(files, DESCRIPTION)
    reader.check("events", "1-2", "the event contract")
    for topic, topic_id, decoder, message in (
        ("others", "1-2", "the event contract", "holds topic events"),
        ("events", "1-3", "the event contract", "deleted and made again"),
        ("events", "1-2", "ga4-1a2b", "name another archive, or give this command the setting mapping"),
    ):
        with pytest.raises(InputError, match=message):
            open_archive(files, Description(format=1, topic=topic, topic_id=topic_id, decoder=decoder))
    (tmp_path / "archive.json").write_text('{"format":3,"topic":"t","topic_id":"i","decoder":"d"}')
    with pytest.raises(InputError, match="has format 3"):
        ArchiveReader.open(str(tmp_path))


def test_a_mapping_of_another_file_name_is_the_same_decoder(tmp_path: Path) -> None:
    files = open_files(str(tmp_path))
    open_archive(files, Description(format=1, topic="t", topic_id="i", decoder="old-1a2b"))
    open_archive(files, Description(format=1, topic="t", topic_id="i", decoder="new-1a2b"))


def test_a_segment_is_full_by_rows_and_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_files(str(tmp_path))
    monkeypatch.setattr(writer, "SEGMENT_ROWS", 3)
    segment = SegmentWriter(files, "events", 0, 0)
    for full in (False, False, True):
        segment.add([ArchivedRecord(0, 0)], [view("u", 0)])
        assert segment.is_full == full
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 10_000)
    segment = SegmentWriter(files, "events", 0, 0)
    segment.add([ArchivedRecord(0, 0)], [Erasure("u" * 10_000)])
    assert segment.is_full


def test_a_segment_that_is_begun_again_has_the_same_end_and_leaves_no_file(tmp_path: Path) -> None:
    """The first process has read a record of another day, which retention has deleted since then."""
    files = open_files(str(tmp_path))
    open_archive(files, DESCRIPTION)
    first = SegmentWriter(files, "events", 0, 7)
    first.add([ArchivedRecord(7, 0), ArchivedRecord(8, DAY_MS)], [view("u", 7), view("u", 8)])
    first.commit(9)
    (tmp_path / segment_path(0, Span(7, 9))).unlink()  # The process was killed before the commit.
    assert (first_claims(files), ArchiveReader(files, DESCRIPTION).end(0)) == ({0: 7}, None)
    again = SegmentWriter(files, "events", 0, 7)
    assert again.claimed == 9
    again.add_gap(Span(7, 7))
    again.add([ArchivedRecord(8, DAY_MS)], [view("u", 8)])
    [file] = again.commit(9).files
    assert [f"events/{name}" for name in files.names("events")] == [file.path]
    reader = ArchiveReader.open(str(tmp_path))
    assert (offsets_of(reader), reader.complete_from(0)) == ([[8]], 8)


def test_a_time_far_ahead_has_a_day(tmp_path: Path) -> None:
    far = int(np.datetime64("20000-03-01", "ms").astype(np.int64))
    write_segment(tmp_path, 0, 0, [far, -1])
    days = sorted(path.name for path in (tmp_path / "events").iterdir())
    assert days == ["day=1969-12-31", "day=20000-03-01"]
    assert offsets_of(ArchiveReader.open(str(tmp_path))) == [[0, 1]]


@pytest.mark.parametrize(
    ("decoder", "setting"),
    [
        ("the event contract", "pseudonym_key (THALWEG_PSEUDONYM_KEY)"),
        ("the event contract with pseudonyms bbbb", "pseudonym_key (THALWEG_PSEUDONYM_KEY)"),
        ("mapping shop-0123 with pseudonyms aaaa", "mapping (THALWEG_MAPPING)"),
    ],
)
def test_an_archive_of_another_decoder_is_refused_with_the_setting_that_differs(decoder: str, setting: str) -> None:
    found = msgspec.structs.replace(DESCRIPTION, decoder="the event contract with pseudonyms aaaa")
    with pytest.raises(InputError, match=re.escape(f"give this command the setting {setting} of the archive")):
        check_description("a", found, found.topic, found.topic_id, decoder)
