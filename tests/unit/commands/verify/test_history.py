"""Which offsets of a partition `verify` reads from the archive, and which from the topic."""

import uuid
from pathlib import Path

import pytest

from streams.archive.files import open_files
from streams.archive.layout import Description, Log, Span
from streams.archive.log_part import complete, write_log_part
from streams.archive.reader import ArchiveReader
from streams.archive.writer import SegmentWriter
from streams.broker.topics import Topic
from streams.commands.verify.history import History, open_history
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.codec import CONTRACT, ContractDecoder
from tests.support.archives import write_segment


def topic(*bounds: tuple[int, int], topic_id: int = 0) -> Topic:
    """Return a topic by the start and the end of each partition."""
    starts, ends = (dict(enumerate(side)) for side in zip(*bounds, strict=True))
    return Topic(
        name="events",
        topic_id=uuid.UUID(int=topic_id),
        partitions=len(bounds),
        start_offsets=starts,
        stable_offsets=ends,
        end_offsets=ends,
        committed={},
    )


@pytest.fixture
def reader(tmp_path: Path) -> ArchiveReader:
    """Return an archive of the offsets 10 to 19 of partition 0, and 0 to 9 of partition 2, where 2 to 4 are missing."""
    write_segment(tmp_path, 0, 10, [0] * 10)
    write_segment(tmp_path, 2, 0, [0, 0])
    segment = SegmentWriter(open_files(str(tmp_path)), "events", 2, 2)
    segment.add_gap(Span(2, 4))
    segment.commit(9)
    return ArchiveReader.open(str(tmp_path))


@pytest.mark.parametrize(
    ("bounds", "starts", "gaps"),
    [
        ([(12, 30), (3, 9), (7, 30)], {0: 10, 1: 3, 2: 5}, 0),  # both hold offsets 12 to 19 of partition 0
        ([(20, 20), (3, 9), (10, 10)], {0: 10, 1: 3, 2: 5}, 0),  # the topic is empty
        ([(21, 30), (3, 9), (11, 30)], {0: 21, 1: 3, 2: 11}, 2),  # the archive does not reach the topic
    ],
)
def test_where_the_history_begins(
    reader: ArchiveReader, bounds: list[tuple[int, int]], starts: dict[int, int], gaps: int
) -> None:
    found = topic(*bounds)
    history = History(Settings(), found, ContractDecoder(), reader)
    assert history.starts(found) == starts
    assert len(history.gaps) == gaps


def test_without_an_archive_the_history_is_the_topic() -> None:
    found = topic((12, 30), (3, 9))
    history = History(Settings(), found, ContractDecoder())
    assert (history.starts(found), history.gaps) == ({0: 12, 1: 3}, [])


def test_an_archive_that_does_not_fit_the_topic_is_refused(reader: ArchiveReader, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="deleted and made again"):
        open_history(Settings(), topic((0, 30)), ContractDecoder(), reader, None)
    description = tmp_path / "archive.json"
    description.write_text(description.read_text().replace("1-2", str(uuid.UUID(int=0))))
    with pytest.raises(InputError, match="up to offset 19, and the partition ends before offset 15"):
        open_history(Settings(), topic((0, 15)), ContractDecoder(), ArchiveReader.open(str(tmp_path)), None)


@pytest.fixture
def with_log(tmp_path: Path) -> ArchiveReader:
    """Return an archive that begins with a log and copies the topic from offset 10 to 19."""
    files = open_files(str(tmp_path))
    assert len(list(write_log_part(files, "events", 0, 0, [], 10))) == 1
    log = Log(id="ab", until_ms=5)
    complete(files, Description(format=2, topic="events", topic_id=str(uuid.UUID(int=0)), decoder=CONTRACT, log=log))
    SegmentWriter(files, "events", 0, 10).commit(19)
    return ArchiveReader.open(str(tmp_path))


@pytest.mark.parametrize(
    ("start", "log_id", "first"),
    [
        (0, "ab", -1),
        (15, "ab", -1),
        (0, None, 0),  # Rows of the topic alone: the topic has what the log stands for.
        (15, None, 10),
        (10, None, 10),
    ],
)
def test_a_log_belongs_to_rows_that_begin_with_it(
    with_log: ArchiveReader, start: int, log_id: str | None, first: int
) -> None:
    found = topic((start, 30))
    assert open_history(Settings(), found, ContractDecoder(), with_log, log_id).starts(found) == {0: first}


def test_rows_that_begin_with_a_log_need_its_archive(with_log: ArchiveReader) -> None:
    with pytest.raises(InputError, match="begins with another log than the rows"):
        open_history(Settings(), topic((0, 30)), ContractDecoder(), with_log, "cd")
    with pytest.raises(InputError, match="with --archive"):
        open_history(Settings(), topic((0, 30)), ContractDecoder(), None, "ab")
