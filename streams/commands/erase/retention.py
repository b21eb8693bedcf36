"""How long a topic keeps a record, by the topic's settings. Reads the settings; the computation is pure.

Kafka deletes whole segments. A segment goes once its newest record is older than `retention.ms`. The broker looks every
`log.retention.check.interval.ms`, and deletes the file `file.delete.delay.ms` later. A segment takes newer records for
at most `segment.ms` (https://kafka.apache.org/documentation/#topicconfigs).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streams.broker.topic_settings import read_topic_settings
from streams.broker.topics import broker_admin
from streams.config.settings import Settings

READ = (
    "cleanup.policy",
    "retention.ms",
    "segment.ms",
    "file.delete.delay.ms",
    "delete.retention.ms",
    "max.compaction.lag.ms",
)
CHECK_INTERVAL_MS = 300_000  # the default of log.retention.check.interval.ms, a setting of the broker
NO_LIMIT_MS = 2**63 - 1


class KeepsUntil(NamedTuple):
    """When a record is gone at the latest. at_ms: milliseconds since 1970, None where no time is certain."""

    at_ms: int | None
    why: str


def read_retention(settings: Settings, topics: Iterable[str]) -> dict[str, Mapping[str, str]]:
    """The settings READ of each topic, empty where the broker does not show them. Blocks. Raises BrokerError."""
    with broker_admin(settings) as admin:
        return dict(read_topic_settings(admin, topics, READ))


def kept_until(found: Mapping[str, str], timestamp_ms: int, is_replaced: bool = True) -> KeepsUntil:
    """Until when a topic with these settings keeps a record with this timestamp.

    is_replaced: a later record of the record's partition has its key, so a compaction deletes the record.

    The answer holds where timestamps of later records follow the clock. A record with a later timestamp keeps its
    segment longer.
    """
    policies = {policy.strip() for policy in found.get("cleanup.policy", "").split(",")} - {""}
    if not policies:
        return KeepsUntil(None, "unknown: the broker does not show the topic's settings (DescribeConfigs)")
    if "delete" not in policies:
        if not is_replaced:
            return KeepsUntil(None, "unlimited: no later null value stands in the partition of these records")
        return _until_compacted(found, timestamp_ms)
    retention_ms = int(found["retention.ms"])
    if retention_ms < 0:
        return KeepsUntil(None, "unlimited: retention.ms is -1")
    segment_ms, delay_ms = int(found["segment.ms"]), int(found["file.delete.delay.ms"])
    if retention_ms + segment_ms >= NO_LIMIT_MS - timestamp_ms:
        return KeepsUntil(None, f"unlimited: retention.ms is {retention_ms} and segment.ms is {segment_ms}")
    return KeepsUntil(
        timestamp_ms + retention_ms + segment_ms + CHECK_INTERVAL_MS + delay_ms,
        f"retention.ms {retention_ms} and segment.ms {segment_ms} after the last record, {CHECK_INTERVAL_MS} ms "
        f"between two looks of the broker, and file.delete.delay.ms {delay_ms}",
    )


def _until_compacted(found: Mapping[str, str], timestamp_ms: int) -> KeepsUntil:
    lag_ms = int(found["max.compaction.lag.ms"])
    tombstones = f"a null value itself stays for delete.retention.ms {found['delete.retention.ms']} after a compaction"
    if lag_ms >= NO_LIMIT_MS - timestamp_ms:
        return KeepsUntil(None, f"the next compaction, for which max.compaction.lag.ms sets no limit; {tombstones}")
    return KeepsUntil(
        timestamp_ms + lag_ms + CHECK_INTERVAL_MS,
        f"a compaction within max.compaction.lag.ms {lag_ms}, if the broker has time for compactions; {tombstones}",
    )
