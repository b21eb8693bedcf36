"""What a worker may read of the behaviour topic after a rebalance."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from streams.broker.topics import Topic
from streams.config.errors import SettingsError, TopicRemadeError
from streams.config.settings import Settings
from streams.engine.epochs import Epoch, EpochView
from streams.store import registry
from streams.worker import source
from streams.worker.source import Source

RECORDS: dict[str, registry.BundleRecord] = {}  # what the keyspace knows of bundles
FIRST, SECOND = uuid.UUID(int=1), uuid.UUID(int=2)


class Registry:
    def __init__(self) -> None:
        self._epochs: list[Epoch] = []

    def epochs(self, topic: str) -> list[Epoch]:
        return self._epochs

    def begin_epoch(self, topic: str, epoch: Epoch) -> None:
        self._epochs.append(epoch)

    def check_serves(self, bundle_id: str) -> None:
        registry.check_not_retired(RECORDS.get(bundle_id), "shop")

    view = registry.Registry.view


class User:
    """Takes the epoch, as the rows of users and the encoder of outputs do."""

    def __init__(self) -> None:
        self.views: list[EpochView] = []

    def use_epoch(self, view: EpochView) -> None:
        self.views.append(view)


class Store(NamedTuple):
    registry: Registry
    users: User


class Bundle(NamedTuple):
    bundle_id: str


def topic(topic_id: uuid.UUID, partitions: int) -> Topic:
    offsets: Mapping[int, int] = dict.fromkeys(range(partitions), 0)
    ends = dict(offsets)
    return Topic(
        name="events",
        topic_id=topic_id,
        partitions=partitions,
        start_offsets=ends,
        stable_offsets=ends,
        end_offsets=ends,
        committed={},
    )


@pytest.fixture
def source_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, User]]:
    """Return a function that makes a Source which finds these topics, one at each look."""

    def make(*topics: Topic) -> tuple[Source, User]:
        found = iter(topics)
        monkeypatch.setattr(source, "describe_topic", lambda *_: next(found))
        monkeypatch.setattr(source, "ensure_topics", lambda _: None)
        users: Any = User()
        store: Any = Store(Registry(), users)
        bundle: Any = Bundle("gru-1")
        return Source(Settings(behavior_topic="events"), bundle, store, users), users

    return make


@pytest.mark.parametrize("partitions", [2, 4, 8])
def test_a_rebalance_does_not_take_over_a_topic_that_was_made_again(
    source_of: Callable[..., tuple[Any, User]], partitions: int
) -> None:
    """Records of the deleted topic may be in flight, and records of the new topic may be fetched at old offsets."""
    found, users = source_of(topic(FIRST, 4), topic(SECOND, partitions))
    assert found.refresh().topic_id == FIRST
    before = list(users.views)
    with pytest.raises(TopicRemadeError, match="made again"):
        found.refresh()
    assert users.views == before, "outputs of records in flight would name the new topic"


def test_a_rebalance_after_partitions_were_added_goes_on(source_of: Callable[..., tuple[Any, User]]) -> None:
    found, _ = source_of(topic(FIRST, 4), topic(FIRST, 8))
    assert found.refresh().held == frozenset()
    assert found.refresh().held == {4, 5, 6, 7}


def test_a_worker_that_joined_after_the_retirement_began_reads_nothing(
    source_of: Callable[..., tuple[Any, User]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`thalweg retire` found no member of the group before, and deletes the rows now."""
    at = "2026-11-29 08:00:00.000Z"
    record = registry.BundleRecord(bundle_id="gru-1", width=67, items=5, first_served_at=at, retirement_began_at=at)
    found, users = source_of(topic(FIRST, 4))
    monkeypatch.setitem(RECORDS, "gru-1", record)
    with pytest.raises(SettingsError, match="bundle gru-1 was retired from keyspace shop"):
        found.refresh()
    assert users.views == []
