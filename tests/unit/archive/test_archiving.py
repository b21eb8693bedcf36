"""Where `thalweg archive` refuses to go on with what an earlier run began."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from streams.archive.files import open_files
from streams.archive.layout import Claim, Description, claim_path
from streams.archive.writer import open_archive
from streams.broker.topics import Topic
from streams.commands.archive import archiving
from streams.commands.archive.archiving import Archiving
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder


def test_a_claim_beyond_the_end_of_the_topic_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run was killed before it committed the segment, and then the topic was cut. No record comes to wait for."""
    settings = Settings()
    topic = Topic(
        name=settings.behavior_topic,
        topic_id=uuid.UUID(int=1),
        partitions=1,
        start_offsets={0: 0},
        stable_offsets={0: 5},
        end_offsets={0: 5},
        committed={},
    )
    files = open_files(str(tmp_path))
    open_archive(
        files, Description(format=1, topic=topic.name, topic_id=str(topic.topic_id), decoder=ContractDecoder.name)
    )
    files.create(claim_path(0, 0), msgspec.json.encode(Claim(last=9)))

    @contextlib.asynccontextmanager
    async def open_consumer(*_: Any, **__: Any) -> AsyncIterator[Any]:
        yield mock.Mock(beginning_offsets=mock.Mock(side_effect=AssertionError("the topic is read")))

    monkeypatch.setattr(archiving, "describe_topic", lambda *_: topic)
    monkeypatch.setattr(archiving, "open_consumer", open_consumer)
    with pytest.raises(InputError, match=r"up to offset 9 .* ends before offset 5: the partition was cut"):
        Archiving(settings, files, ContractDecoder(), accept_gaps=False).run()
    with files.lock():
        pass
