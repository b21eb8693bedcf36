"""Settings of topics that lose records or end a worker: read from the broker, and judged without input and output."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kafka.admin import ConfigResource, ConfigResourceType

from streams.config.errors import SettingsError
from streams.config.settings import Settings

logger = logging.getLogger(__name__)

# The largest request of a worker, before compression (BATCH_BYTES in publisher.py), and the head of the record batch.
REQUEST_BYTES = 512 * 1024 + 1024
# A record waits at most this long for the broker (CONFIRM_TIMEOUT_S in publisher.py). Its timestamp is as old by then.
WAIT_MS = 120_000
MAJORITY_FROM = 3  # replicas
READ = (
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "compression.type",
    "min.insync.replicas",
)

TopicSettings = Mapping[str, str]  # of one topic; empty where the broker does not show the settings


class PlannedTopic(NamedTuple):
    """How a missing topic is created."""

    partitions: int
    replication: int
    is_compacted: bool = False

    @property
    def configs(self) -> dict[str, str]:
        """The settings besides the broker's defaults.

        Thalweg counts a record as written when all in-sync replicas have it. With three replicas or more, a majority of
        them has to be in sync, so that the record outlives each broker: docs/decisions.md#in-sync-replicas. With one or
        two, a majority would stop the topic whenever a broker is away.
        """
        configs = {"cleanup.policy": "compact"} if self.is_compacted else {}
        if self.replication >= MAJORITY_FROM:
            configs["min.insync.replicas"] = str(majority(self.replication))
        return configs


class TopicFault(NamedTuple):
    """A setting of a topic that does not fit.

    severity: "loses" where records would be lost, so that a worker refuses to start; "ends" where a worker would end
    later; "note" for what an operator should know.
    """

    topic: str
    text: str  # begins with the name of the topic
    remedy: str
    severity: str


def majority(replicas: int) -> int:
    """The smallest number of replicas that is more than half of them."""
    return replicas // 2 + 1


def output_topics(settings: Settings) -> tuple[str, str, str]:
    """The topics that a worker writes."""
    return settings.updates_topic, settings.evaluation_topic, settings.dead_letter_topic


def planned_topics(settings: Settings, partitions: int) -> dict[str, PlannedTopic]:
    """Every topic of Thalweg by its name, the behaviour topic first.

    partitions: of the behaviour topic. Outputs of partition p go to partition p, so an output topic has as many. The
    catalogue has one partition, so that all records of an item keep their order whatever rule a producer follows.
    """
    outputs = output_topics(settings)
    counts = {settings.behavior_topic: partitions, **dict.fromkeys(outputs, partitions)}
    counts |= {settings.metrics_topic: 1, settings.alarms_topic: 1, settings.catalogue_topic: 1}
    counts[settings.comparisons_topic] = 1
    counts[settings.predictions_topic] = settings.partitions
    compacted = (settings.updates_topic, settings.catalogue_topic, settings.comparisons_topic)
    return {
        name: PlannedTopic(count, settings.replication, is_compacted=name in compacted)
        for name, count in counts.items()
    }


def read_topic_settings(admin: Any, names: Iterable[str], read: Sequence[str] = READ) -> dict[str, TopicSettings]:
    """The settings `read` of each topic. Raises KafkaError.

    The settings of a topic are empty where the user lacks the right DescribeConfigs on the topic. The client library
    drops the error code of such an answer.
    """
    names = list(names)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(read)) for name in names]
    answers = admin.describe_configs(resources, config_filter="all").get("topic", {})
    return {
        name: {key: str(entry["value"]) for key, entry in answers.get(name, {}).items() if key in read}
        for name in names
    }


def missing_right(name: str) -> TopicFault:
    """The note about a topic whose settings the broker does not show."""
    text = f"{name}: the broker does not show the topic's settings, so cleanup.policy is not checked"
    remedy = f"give the user DescribeConfigs on topic {name} (kafka-acls --add --operation DescribeConfigs)"
    return TopicFault(name, text, remedy, "note")


def check_topic_settings(admin: Any, settings: Settings, names: Iterable[str]) -> None:
    """Log what cannot be checked. Raises SettingsError for a setting of these topics that loses records."""
    for fault in faults(settings, read_topic_settings(admin, names)):
        if fault.severity == "loses":
            raise SettingsError(f"topic {fault.text}; {fault.remedy}")
        if fault == missing_right(fault.topic):
            logger.warning("%s; %s", fault.text, fault.remedy)


def faults(settings: Settings, found: Mapping[str, TopicSettings]) -> Iterator[TopicFault]:
    """What does not fit in the settings of these topics. A topic that the broker did not show gives a note."""
    for name, values in found.items():
        if not values:
            yield missing_right(name)
            continue
        yield from _cleanup_faults(settings, name, values)
        if name in output_topics(settings):
            yield from _output_faults(settings, name, values)
        elif name == settings.behavior_topic and values.get("message.timestamp.type") == "LogAppendTime":
            text = f"{name} has message.timestamp.type LogAppendTime: freshness counts from the arrival at the broker"
            yield TopicFault(name, text, "set it to CreateTime to count from the producer's timestamp", "note")


def in_sync_fault(settings: Settings, name: str, replicas: int, values: TopicSettings) -> TopicFault | None:
    """The note about a topic whose confirmed records may stand in one replica alone.

    An earlier version made such topics, and so do other tools. replicas: of the partition that has the fewest.
    """
    in_sync = int(values.get("min.insync.replicas", replicas))
    if replicas < MAJORITY_FROM or in_sync >= majority(replicas):
        return None
    text = (
        f"{name} has {replicas} replicas and min.insync.replicas {in_sync}: a record counts as written when "
        f"{in_sync} of them {'has' if in_sync == 1 else 'have'} it, and is lost with {in_sync} of the brokers"
    )
    remedy = (
        f"kafka-configs.sh --bootstrap-server {settings.broker} --alter --entity-type topics --entity-name {name} "
        f"--add-config min.insync.replicas={majority(replicas)}"
    )
    return TopicFault(name, text, remedy, "note")


def _cleanup_faults(settings: Settings, name: str, values: TopicSettings) -> Iterator[TopicFault]:
    policies = {policy.strip() for policy in values.get("cleanup.policy", "").split(",")} - {""}
    if not policies:
        return
    has = f"{name} has cleanup.policy {','.join(sorted(policies))!r}"
    lost = {
        settings.updates_topic: "representations",
        settings.catalogue_topic: "items",
        settings.comparisons_topic: "comparisons",
    }.get(name)
    if lost is not None and policies != {"compact"}:
        text = f"{has}: {lost} would be lost with their retention"
        yield TopicFault(name, text, "set it to 'compact' or name another topic", "loses")
    elif lost is None and "compact" in policies:
        text = f"{has}: of all records with the same key, compaction keeps the last one alone"
        yield TopicFault(name, text, "set it to 'delete' or name another topic", "loses")


def _output_faults(settings: Settings, name: str, values: TopicSettings) -> Iterator[TopicFault]:
    limit_bytes = int(values.get("max.message.bytes", REQUEST_BYTES))
    if limit_bytes < REQUEST_BYTES:
        text = (
            f"{name} has max.message.bytes {limit_bytes}: a worker sends up to {REQUEST_BYTES} bytes at once, before "
            "compression, and ends where the topic refuses them"
        )
        yield TopicFault(name, text, f"set max.message.bytes of {name} to {REQUEST_BYTES} or more", "ends")
    if values.get("message.timestamp.type") != "LogAppendTime":
        for key in ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms"):
            if int(values.get(key, WAIT_MS)) < WAIT_MS:
                text = (
                    f"{name} has {key} {values[key]}: a worker ends where its clock and the broker's differ by more, "
                    f"or after an output waited for the broker, which takes up to {WAIT_MS} ms"
                )
                yield TopicFault(name, text, f"set {key} of {name} to {WAIT_MS} or more", "note")
    codec = values.get("compression.type", "producer")
    if codec not in ("producer", "uncompressed" if settings.compression == "none" else settings.compression):
        text = (
            f"{name} has compression.type {codec}: the broker compresses the outputs again, "
            f"whatever compression (THALWEG_COMPRESSION = {settings.compression}) says"
        )
        yield TopicFault(name, text, f"set compression.type of {name} to producer", "note")
