"""What a backfill makes of an archive before the first block, and behind the last one."""

import asyncio
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec
import pytest

from streams.archive.files import open_files
from streams.archive.layout import Span
from streams.archive.reader import ArchiveReader
from streams.archive.writer import SegmentWriter
from streams.broker.topics import Topic
from streams.commands.backfill import stages
from streams.commands.backfill.plan import Covered, covered_by
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.epochs import EpochView
from tests.support.archives import DESCRIPTION, write_segment


def topic(start: int, end: int, committed: int | None = None) -> Topic:
    """Return a topic of one partition, with a group without members."""
    return Topic(
        name="events",
        topic_id=uuid.UUID(int=1),
        partitions=1,
        start_offsets={0: start},
        stable_offsets={0: end},
        end_offsets={0: end},
        committed={} if committed is None else {0: committed},
    )


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(stages, "check_broker_rights", lambda *_: None)
    monkeypatch.setattr(stages, "count_members", lambda *_: 0)
    return SimpleNamespace(bundle_id="gru-1")


def test_an_archive_of_records_that_the_topic_has_lost_is_refused(
    bundle: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A commit at the archive's end would be beyond the topic, and workers would skip the records up to there."""
    write_segment(tmp_path, 0, 0, [0] * 10)
    description = msgspec.structs.replace(DESCRIPTION, topic="behavior-events", topic_id=str(uuid.UUID(int=1)))
    (tmp_path / "archive.json").write_bytes(msgspec.json.encode(description))
    cut = msgspec.structs.replace(topic(0, 5), name="behavior-events")
    monkeypatch.setattr(stages, "describe_topic", lambda *_: cut)
    with pytest.raises(InputError, match="up to offset 9, and the partition ends before offset 5"):
        stages.backfill(Settings(), bundle, str(tmp_path), 1)


def test_the_history_begins_behind_the_last_gap(tmp_path: Path) -> None:
    """An erasure in the gap is gone, so what stands before the gap may belong to a user who was erased."""
    write_segment(tmp_path, 0, 5, [0] * 5)
    write_segment(tmp_path, 2, 0, [0] * 5)
    write_segment(tmp_path, 1, 0, [0, 0])
    segment = SegmentWriter(open_files(str(tmp_path)), "events", 1, 2)
    segment.add_gap(Span(2, 4))
    segment.commit(9)
    reader = ArchiveReader.open(str(tmp_path))
    assert covered_by(reader) == {0: Covered(5, 10), 1: Covered(5, 10), 2: Covered(0, 5)}
    told = [gap.partition(", so")[0] for gap in stages._gaps(reader)]
    assert told == [f"partition {at}: the archive lacks records before offset 5" for at in (0, 1)]


def test_retention_that_has_passed_the_archive_meanwhile_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers would begin at the topic's first record, without the records between. The bundle stays inactive."""
    write_segment(tmp_path, 0, 0, [0] * 10)
    registration, other = mock.AsyncMock(), mock.AsyncMock()
    run = stages._Run.__new__(stages._Run)
    run._settings, run._topic, run._position, run._group_id = Settings(), topic(0, 20, 10), {0: 10}, "group"
    run._publisher = run._offsets = other
    run._offsets.close = mock.Mock()
    run._registration = registration
    run._store, run._bundle = mock.Mock(erasures=other), SimpleNamespace(bundle_id="gru-1")
    covered = covered_by(ArchiveReader.open(str(tmp_path)))

    async def steps() -> EpochView:
        return EpochView(0, frozenset([0]))

    monkeypatch.setattr(stages, "describe_topic", lambda *_: topic(13, 20, 10))
    with pytest.raises(InputError, match="the records from offset 10 to 12 are in neither"):
        asyncio.run(run.run(steps(), covered, "folder"))
    registration.run.assert_not_called()
    monkeypatch.setattr(stages, "describe_topic", lambda *_: topic(10, 20, 10))
    asyncio.run(run.run(steps(), covered, "folder"))
    registration.run.assert_called_once_with()
