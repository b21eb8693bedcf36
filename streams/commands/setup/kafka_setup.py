"""Makes topics and access rules that are missing, and says how existing topics differ from the plan. Blocks."""

from collections.abc import Iterator
from typing import Any

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import SecurityDisabledError

from encoder.wording import counted
from streams.broker.topic_settings import PlannedTopic, planned_topics
from streams.broker.topics import (
    READY_TIMEOUT_MS,
    broker_admin,
    describe_topic,
    ensure_catalogue_topic,
    ensure_monitor_topics,
    ensure_topic,
    ensure_topics,
    topic_metadata,
)
from streams.commands.setup.plan import Plan
from streams.commands.setup.step import Step
from streams.config.errors import BrokerError
from streams.config.settings import Settings
from streams.health.rights.kafka_rights import KafkaRight, dead_letter_topic

OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
    "Delete": ACLOperation.DELETE,
}
RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}


def make_topics(settings: Settings, source: str | None = None) -> Iterator[Step]:
    """Create topics as the programs would. Raises SettingsError for a topic that the programs refuse, BrokerError.

    source: the topic that `thalweg rekey` reads, whose dead-letter topic is made with as many partitions.
    """
    with broker_admin(settings) as admin:
        before = set(admin.list_topics())
    ensure_topics(settings)
    ensure_monitor_topics(settings)
    ensure_catalogue_topic(settings)
    planned = {}
    if source:
        name, partitions = dead_letter_topic(source), describe_topic(settings, source).partitions
        ensure_topic(settings, name, partitions)
        planned[name] = PlannedTopic(partitions, settings.replication)
    with broker_admin(settings) as admin:
        names = [*planned, *planned_topics(settings, settings.partitions)]
        found = {name: topic_metadata(admin, name, READY_TIMEOUT_MS / 1000) for name in names}
    planned = planned_topics(settings, len(found[settings.behavior_topic]["partitions"])) | planned
    for name, topic in planned.items():
        partitions = found[name]["partitions"]
        has = _size(len(partitions), len(partitions[0]["replica_nodes"]))
        wanted = _size(topic.partitions, topic.replication)
        if name not in before:
            yield Step("made", f"topic {name}", has)
        elif has == wanted:
            yield Step("exists", f"topic {name}", has)
        else:
            yield Step("differs", f"topic {name}", f"has {has}; planned are {wanted}")


def _size(partitions: int, replicas: int) -> str:
    return f"{counted(partitions, 'partition')}, {counted(replicas, 'replica')}"


def make_acls(settings: Settings, plan: Plan) -> Iterator[Step]:
    """Give the user the rights of the plan. Raises BrokerError."""
    if plan.user is None:
        return
    wanted = {acl_of(right, plan.user): right for right in plan.acls}
    with broker_admin(settings) as admin:
        try:
            existing = set(admin.describe_acls(_all_acls(plan.user))[0])
        except SecurityDisabledError:
            yield Step("skipped", f"rights of user {plan.user}", "the broker has no authorizer: every user may do all")
            return
        missing = [acl for acl in wanted if acl not in existing]
        failed = admin.create_acls(missing)["failed"] if missing else []
    if failed:
        raise BrokerError(f"rights of user {plan.user} were not given: {failed[0].__name__}")
    for acl, right in wanted.items():
        yield Step("exists" if acl in existing else "made", f"right of user {plan.user}", str(right))


def acl_of(right: KafkaRight, user: str) -> ACL:
    pattern = ACLResourcePatternType.PREFIXED if right.is_prefix else ACLResourcePatternType.LITERAL
    resource = ResourcePattern(RESOURCES[right.resource], right.name, pattern)
    return ACL(f"User:{user}", "*", OPERATIONS[right.operation], ACLPermissionType.ALLOW, resource)


def _all_acls(user: str) -> Any:
    everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, everything)
