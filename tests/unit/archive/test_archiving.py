"""Where `thalweg archive` refuses to go on with what an earlier run began."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from streams.archive.columns import ArchivedRecord
from streams.archive.files import ArchiveFiles, open_files
from streams.archive.layout import Claim, Description, Span, claim_path, events_path, next_revision
from streams.archive.writer import SegmentWriter, open_archive
from streams.broker.topics import Topic
from streams.commands.archive import archiving
from streams.commands.archive.archiving import Archiving
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder
from tests.support.archives import view


def topic_of(*bounds: tuple[int, int] | int) -> Topic:
    """A topic with the first offset and the end of each partition, or with an end alone."""
    pairs = [(0, one) if isinstance(one, int) else one for one in bounds]
    ends = {partition: end for partition, (_, end) in enumerate(pairs)}
    return Topic(
        name=Settings().behavior_topic,
        topic_id=uuid.UUID(int=1),
        partitions=len(pairs),
        start_offsets={partition: start for partition, (start, _) in enumerate(pairs)},
        stable_offsets=ends,
        end_offsets=ends,
        committed={},
    )


@pytest.fixture
def files(tmp_path: Path) -> ArchiveFiles:
    """Return a new archive of the topic."""
    found, topic = open_files(str(tmp_path)), topic_of(0)
    open_archive(
        found, Description(format=1, topic=topic.name, topic_id=str(topic.topic_id), decoder=ContractDecoder.name)
    )
    return found


def test_a_claim_beyond_the_end_of_the_topic_is_refused(files: ArchiveFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run was killed before it committed the segment, and then the topic was cut. No record comes to wait for."""
    files.create(claim_path(0, 0), msgspec.json.encode(Claim(last=9)))

    @contextlib.asynccontextmanager
    async def open_consumer(*_: Any, **__: Any) -> AsyncIterator[Any]:
        yield mock.Mock(beginning_offsets=mock.Mock(side_effect=AssertionError("the topic is read")))

    monkeypatch.setattr(archiving, "describe_topic", lambda *_: topic_of(5))
    monkeypatch.setattr(archiving, "open_consumer", open_consumer)
    with pytest.raises(InputError, match=r"up to offset 9 .* ends before offset 5: the partition was cut"):
        Archiving(Settings(), files, ContractDecoder(), accept_gaps=False).run()
    with files.lock():
        pass


def test_records_of_a_partition_without_a_segment_are_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Partition 1 had no record at the first run, and partition 2 was added later."""
    files = open_files(str(tmp_path))

    def run(topic: Topic, accept_gaps: bool = False) -> dict[int, int]:
        monkeypatch.setattr(archiving, "describe_topic", lambda *_: topic)
        archive = Archiving(Settings(), files, ContractDecoder(), accept_gaps)
        monkeypatch.setattr(archive, "_copy", mock.AsyncMock())
        archive.run()
        return archive.archived.positions

    assert run(topic_of((7, 7), (5, 5))) == {0: 7, 1: 5}, "a new archive begins with what the topic has"
    assert run(topic_of((7, 7), (5, 9), (0, 3))) == {0: 7, 1: 5, 2: 0}
    with pytest.raises(InputError, match="partition 1 from offset 5 to 6 before they were archived"):
        run(topic_of((7, 7), (7, 9), (0, 3)))
    with pytest.raises(InputError, match="partition 2 from offset 0 to 1 before"):
        run(topic_of((7, 7), (5, 9), (2, 3)))
    assert run(topic_of((7, 7), (7, 9), (2, 3)), accept_gaps=True) == {0: 7, 1: 5, 2: 0}


def test_the_next_run_deletes_what_a_run_left_that_was_killed_behind_its_commit(
    files: ArchiveFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a removal that is being written stays."""
    segment = SegmentWriter(files, "events", 0, 0)
    segment.add([ArchivedRecord(0, 0), ArchivedRecord(1, 0)], [view("u", 0), view("u", 1)])
    segment.commit(1)
    (listed,) = files.names("events")
    written = next_revision(f"events/{listed}")
    files.write(written, b"")
    files.write(events_path(1, 0, Span(0, 1)), b"")  # another day, as of a first attempt
    files.write(events_path(0, 0, Span(0, 1), 77), b"")
    files.write(events_path(0, 0, Span(2, 3), 77), b"")  # not committed yet
    monkeypatch.setattr(archiving, "describe_topic", lambda *_: topic_of(2))
    Archiving(Settings(), files, ContractDecoder(), accept_gaps=False).run()
    kept = {f"events/{listed}", written, events_path(0, 0, Span(2, 3), 77)}
    assert {f"events/{name}" for name in files.names("events")} == kept
