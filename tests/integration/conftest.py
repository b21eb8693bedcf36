"""Fixtures for tests with their own topics on the shared Kafka."""

import uuid
from collections.abc import Callable

import pytest

from streams import cli
from streams.config.settings import Settings
from streams.local import LocalServices
from tests.support.topics import TOPIC_SETTINGS


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    """Return settings with topics that no other test uses. No topic is created yet."""
    prefix = uuid.uuid4().hex[:8]
    topics = {name: f"{prefix}.{name}" for name in [*TOPIC_SETTINGS, "catalogue_topic"]}
    cassandra = services.cassandra.address
    return Settings(broker=services.bootstrap, cassandra=cassandra, keyspace=f"k{prefix}", partitions=3, **topics)


@pytest.fixture
def thalweg(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that runs a `thalweg` command in this process with the test's topics."""
    for name in ["broker", "cassandra", "keyspace", "partitions", "catalogue_topic", *TOPIC_SETTINGS]:
        monkeypatch.setenv(f"THALWEG_{name.upper()}", str(getattr(settings, name)))
    return lambda *arguments: cli.main([str(argument) for argument in arguments])
