"""What a backfill makes of an archive before the first block, and behind the last one."""

from pathlib import Path

from streams.archive.files import open_files
from streams.archive.layout import Span
from streams.archive.reader import ArchiveReader
from streams.archive.writer import SegmentWriter
from streams.commands.backfill import stages
from streams.commands.backfill.plan import Covered
from tests.support.archives import write_segment


def test_the_history_begins_behind_the_last_gap(tmp_path: Path) -> None:
    """An erasure in the gap is gone, so what stands before the gap may belong to a user who was erased."""
    write_segment(tmp_path, 0, 5, [0] * 5)
    write_segment(tmp_path, 1, 0, [0, 0])
    segment = SegmentWriter(open_files(str(tmp_path)), "events", 1, 2)
    segment.add_gap(Span(2, 4))
    segment.commit(9)
    reader = ArchiveReader.open(str(tmp_path))
    assert stages._covered(reader) == {0: Covered(5, 10), 1: Covered(5, 10)}
    (gap,) = stages._gaps(reader)
    assert gap.startswith("partition 1: the archive lacks records before offset 5")
