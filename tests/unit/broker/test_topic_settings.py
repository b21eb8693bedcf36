"""Which settings of topics lose records or end a worker."""

import logging
from typing import Any

import msgspec
import pytest

from streams.broker.publisher import BATCH_BYTES, CONFIRM_TIMEOUT_S
from streams.broker.topic_settings import (
    REQUEST_BYTES,
    WAIT_MS,
    check_topic_settings,
    faults,
    in_sync_fault,
    planned_topics,
    read_topic_settings,
)
from streams.config.errors import SettingsError
from streams.config.settings import Settings

SETTINGS = Settings(
    behavior_topic="events",
    updates_topic="updates",
    evaluation_topic="scores",
    dead_letter_topic="dlq",
    catalogue_topic="items",
)
# What a new topic of Kafka 4 has
DEFAULTS = {
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "3600000",
    "compression.type": "producer",
}


class Admin:
    """Answers as the admin client of kafka-python: no settings where the right DescribeConfigs is missing."""

    def __init__(self, found: dict[str, dict[str, str]]) -> None:
        self._found = found

    def describe_configs(self, resources: list[Any], config_filter: str) -> dict[str, Any]:
        assert config_filter == "all"
        return {
            "topic": {
                resource.name: {key: {"value": value} for key, value in self._found[resource.name].items()}
                for resource in resources
            }
        }


def texts(topic: str, settings: Settings = SETTINGS, **changed: str) -> list[tuple[str, str]]:
    values = {**DEFAULTS, **({"cleanup.policy": "compact"} if topic == "updates" else {}), **changed}
    return [(fault.severity, fault.text) for fault in faults(settings, {topic: values})]


def test_the_limits_are_those_of_the_publisher() -> None:
    assert BATCH_BYTES < REQUEST_BYTES < BATCH_BYTES + 2_000
    assert WAIT_MS == 1000 * CONFIRM_TIMEOUT_S


@pytest.mark.parametrize("topic", ["events", "updates", "scores", "dlq"])
def test_the_settings_of_a_new_topic_have_no_fault(topic: str) -> None:
    assert texts(topic) == []


@pytest.mark.parametrize(
    ("topic", "policy", "consequence"),
    [
        ("updates", "delete", "lost with their retention"),
        ("updates", "compact,delete", "'compact,delete': representations would be lost"),
        ("updates", "delete, compact", "'compact,delete': representations would be lost"),
        ("items", "delete", "items would be lost"),
        ("events", "compact", "compaction keeps the last one alone"),
        ("events", "compact,delete", "compaction keeps the last one alone"),
        ("scores", "compact", "compaction keeps the last one alone"),
        ("dlq", "compact", "compaction keeps the last one alone"),
    ],
)
def test_a_cleanup_policy_that_loses_records_is_named_and_stops_a_worker(
    topic: str, policy: str, consequence: str
) -> None:
    ((severity, text),) = texts(topic, **{"cleanup.policy": policy})
    assert (severity, consequence in text) == ("loses", True)
    with pytest.raises(SettingsError, match=f"topic {topic} has cleanup.policy"):
        check_topic_settings(Admin({topic: DEFAULTS | {"cleanup.policy": policy}}), SETTINGS, [topic])


@pytest.mark.parametrize("topic", ["updates", "scores", "dlq"])
def test_an_output_topic_that_takes_only_small_batches_is_a_fault(topic: str) -> None:
    ((severity, text),) = texts(topic, **{"max.message.bytes": "1000"})
    assert (severity, text.startswith(f"{topic} has max.message.bytes 1000")) == ("ends", True)
    assert texts("events", **{"max.message.bytes": "1000"}) == []


def test_timestamps_and_codecs_of_topics_are_looked_at() -> None:
    assert "LogAppendTime" in texts("events", **{"message.timestamp.type": "LogAppendTime"})[0][1]
    for key in ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms"):
        ((severity, text),) = texts("scores", **{key: "1000"})
        assert (severity, f"{key} 1000" in text) == ("note", True)
        assert texts("scores", **{key: "1000", "message.timestamp.type": "LogAppendTime"}) == []
    assert "compression.type zstd" in texts("scores", **{"compression.type": "zstd"})[0][1]
    zstd = msgspec.structs.replace(SETTINGS, compression="zstd")
    assert texts("scores", zstd, **{"compression.type": "zstd"}) == []
    plain = msgspec.structs.replace(SETTINGS, compression="none")
    assert texts("scores", plain, **{"compression.type": "uncompressed"}) == []


def test_without_the_right_to_read_settings_a_worker_names_the_right_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    admin = Admin({"updates": {}, "events": DEFAULTS})
    assert read_topic_settings(admin, ["updates"]) == {"updates": {}}
    with caplog.at_level(logging.WARNING):
        check_topic_settings(admin, SETTINGS, ["updates", "events"])
    (record,) = caplog.records
    assert "DescribeConfigs on topic updates" in record.getMessage()


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, None), (2, None), (3, "2"), (4, "3"), (5, "3")])
def test_a_majority_of_three_replicas_or_more_has_to_be_in_sync(replicas: int, in_sync: str | None) -> None:
    settings = msgspec.structs.replace(SETTINGS, replication=replicas)
    planned = planned_topics(settings, 4)
    assert {topic.configs.get("min.insync.replicas") for topic in planned.values()} == {in_sync}
    assert planned["updates"].configs["cleanup.policy"] == "compact"
    assert "cleanup.policy" not in planned["events"].configs


@pytest.mark.parametrize(("replicas", "in_sync", "advised"), [(3, "1", 2), (5, "1", 3), (5, "2", 3)])
def test_a_topic_without_a_majority_in_sync_is_a_note_with_the_command(
    replicas: int, in_sync: str, advised: int
) -> None:
    fault = in_sync_fault(SETTINGS, "scores", replicas, {**DEFAULTS, "min.insync.replicas": in_sync})
    assert fault is not None
    assert fault.severity == "note"
    assert f"scores has {replicas} replicas and min.insync.replicas {in_sync}" in fault.text
    assert fault.remedy.endswith(f"--entity-name scores --add-config min.insync.replicas={advised}")


@pytest.mark.parametrize(
    ("replicas", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (3, "3"), (5, "3"), (0, "1"), (3, None)]
)
def test_a_topic_with_a_majority_or_with_one_or_two_replicas_is_no_note(replicas: int, in_sync: str | None) -> None:
    """Without the right DescribeConfigs, the broker shows no setting."""
    values = {} if in_sync is None else {**DEFAULTS, "min.insync.replicas": in_sync}
    assert in_sync_fault(SETTINGS, "scores", replicas, values) is None
