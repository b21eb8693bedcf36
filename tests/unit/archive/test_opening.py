"""What an archive needs: packages that are extras, and memory for one segment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from streams.archive import files, opening, writer
from streams.archive.columns import ArchivedRecord
from streams.archive.files import open_files
from streams.archive.opening import open_reader
from streams.archive.writer import SegmentWriter, open_archive
from streams.config.errors import SettingsError
from tests.support.archives import DESCRIPTION, view

SEGMENTS, ROWS_OF_POLL = 12, 1_000
SEGMENT_BYTES = 1024 * 1024


@pytest.fixture
def memory() -> Iterator[pa.MemoryPool]:
    """Count what Arrow allocates from now on."""
    before = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(before)
    pa.set_memory_pool(counting)
    yield counting
    pa.set_memory_pool(before)


def test_an_archive_is_written_and_read_in_the_memory_of_one_segment(
    tmp_path: Path, memory: pa.MemoryPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SEGMENT_BYTES", SEGMENT_BYTES)
    place = open_files(str(tmp_path))
    open_archive(place, DESCRIPTION)
    offset = 0
    for _ in range(SEGMENTS):
        segment = SegmentWriter(place, "events", 0, offset)
        while not segment.is_full:
            numbers = range(offset, offset + ROWS_OF_POLL)
            days = [ArchivedRecord(number, number % 3 * 86_400_000) for number in numbers]
            segment.add(days, [view(f"user-{number}", number) for number in numbers])
            offset += ROWS_OF_POLL
        segment.commit(offset - 1)
    assert sum(batch.num_rows for batch in open_reader(str(tmp_path)).read(0)) == offset
    assert SEGMENT_BYTES < memory.max_memory() < SEGMENTS / 2 * SEGMENT_BYTES


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> Any:
        return None

    monkeypatch.setattr(opening, "find_spec", find_nothing)
    monkeypatch.setattr(files, "find_spec", find_nothing)
    with pytest.raises(SettingsError, match=r"install thalweg\[archive\]"):
        open_reader(str(tmp_path))
    with pytest.raises(SettingsError, match=r"install thalweg\[s3\]"):
        open_files("s3://bucket/a")
