"""Asks Kafka and Cassandra which rights this client lacks. No question changes anything. All functions block.

- Topics: the broker lists what the client may do with a topic (KIP-430).
- Groups and transactional ids: the broker checks the right before anything else. So a request that must fail says by
  its error whether the right is there: a heartbeat of no member (`Read` on the group), and the end of a transaction of
  no producer (`Write` on the transactional id). A list of operations exists for no transactional id, and for a group
  only at its coordinator, which a new broker does not have yet.
- Cassandra: a role may list its own permissions.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from kafka.errors import GroupAuthorizationFailedError, TransactionalIdAuthorizationFailedError
from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.consumer.group import HeartbeatRequest
from kafka.protocol.producer.transaction import EndTxnRequest

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin
from streams.broker.updates import transactional_id
from streams.config.errors import RightsError, StoreError
from streams.config.settings import Settings
from streams.health.rights.cassandra_rights import CassandraRight, cassandra_rights, not_granted, quoted
from streams.health.rights.kafka_rights import KafkaRight, Operation, acl_command, kafka_rights
from streams.health.rights.roles import Role
from streams.store.cql_schema import stored_name
from streams.store.session import Session

logger = logging.getLogger(__name__)

UNKNOWN_TOPIC, TOPIC_REFUSED = 3, 29  # error codes of the protocol
OPERATION_NAMES = {
    "Read": "READ",
    "Write": "WRITE",
    "Describe": "DESCRIBE",
    "DescribeConfigs": "DESCRIBE_CONFIGS",
    "Delete": "DELETE",
}
NO_WIDTH = 0  # No table has this width, and rights on tables that do not exist are not missing.
_TABLES_QUERY = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"


def check_broker_rights(
    settings: Settings,
    role: Role,
    bundle_id: str = "",
    uses: Collection[str] = (),
    rights: Sequence[KafkaRight] | None = None,
) -> None:
    """Raises RightsError that names every right which the program needs and this client lacks on Kafka.

    uses: parts of the program that are wanted; a warning names the missing rights of all others. rights: instead of the
    program's rights by the settings. Raises BrokerError.
    """
    if not _has_login(settings):
        return
    wanted = kafka_rights(settings, role) if rights is None else rights
    needed, optional = _divided(lacking_on_broker(settings, wanted, bundle_id), uses)
    if needed:
        raise RightsError(
            f"{broker_user(settings)} at {settings.broker} lacks {broker_remedies(settings, needed)}; "
            f"{_setup_hint(role, '--user', settings.broker_user)}"
        )
    others = [right for right in optional if right.operation != "DescribeConfigs"]  # the check of settings names them
    if others:
        logger.warning("%s lacks %s", broker_user(settings), broker_remedies(settings, others))


def check_store_rights(settings: Settings, session: Session, role: Role, bundles: Iterable[Bundle]) -> None:
    """Raises RightsError that names every right which the program needs and this client lacks on Cassandra.

    bundles: those whose tables the program uses. Without a bundle, the rights on tables of no bundle are checked alone.
    """
    widths = {one.manifest.representation_width for one in bundles}
    missing = lacking_in_store(settings, session, role, widths or {NO_WIDTH})
    needed, optional = _divided(missing, ())
    if needed:
        grants = "; ".join(right.grant(settings.cassandra_user or "") for right in needed)
        raise RightsError(
            f"role {settings.cassandra_user} of Cassandra at {settings.cassandra} lacks "
            f"{', '.join(map(str, needed))}; run as an administrator: {grants}; "
            f"{_setup_hint(role, '--cassandra-role', settings.cassandra_user)}"
        )
    if optional:
        logger.warning("role %s of Cassandra lacks %s", settings.cassandra_user, _with_uses(optional))


def lacking_on_broker(settings: Settings, rights: Sequence[KafkaRight], bundle_id: str) -> list[KafkaRight]:
    """Those of these rights that this client lacks. Raises BrokerError, SettingsError.

    A broker that does not tell the operations of a topic counts as one that allows them all.
    """
    group_id = settings.consumer_group_id(bundle_id)
    with broker_admin(settings) as admin:
        names = dict.fromkeys(right.name for right in rights if right.resource == "topic")
        topics = {topic["name"]: topic for topic in admin.describe_topics(list(names))}
        return [right for right in rights if not _has(admin, right, topics, settings, group_id)]


def lacking_in_store(settings: Settings, session: Session, role: Role, widths: Iterable[int]) -> list[CassandraRight]:
    """The rights of the program on tables that exist and that this client lacks. Raises StoreError.

    Empty where Cassandra has no authorizer, or does not tell the permissions.
    """
    wanted = {right for width in widths for right in cassandra_rights(settings.keyspace, role, width)}
    user = settings.cassandra_user
    if not user or not wanted:
        return []
    name = quoted(user)
    try:
        roles = list(session.execute("list the roles of this client", f"LIST ROLES OF {name}"))
        listed = list(session.execute("list the permissions of this client", f"LIST ALL PERMISSIONS OF {name}"))
    except StoreError as error:
        logger.info("the rights of role %s are not checked: %s", user, error)
        return []
    if any(is_super for _, is_super, *_ in roles):
        return []
    found = session.execute("read the schema", _TABLES_QUERY, [stored_name(settings.keyspace)])
    tables = {table for (table,) in found}
    granted = {(permission, resource) for _, _, resource, permission in listed}
    return not_granted(sorted(right for right in wanted if right.table in tables), granted)


def broker_user(settings: Settings) -> str:
    """The client's name at Kafka, in a message."""
    return f"user {settings.broker_user} of Kafka" if settings.broker_user else "this client of Kafka"


def broker_remedies(settings: Settings, rights: Iterable[KafkaRight]) -> str:
    """Each right, and the command that gives the right."""
    user = settings.broker_user or "NAME"
    return ", ".join(
        f"{right}{f' (for {_listed(right.uses)})' if right.uses else ''} [{acl_command(settings, [right], user)}]"
        for right in rights
    )


def _has(admin: Any, right: KafkaRight, topics: dict[str, Any], settings: Settings, group_id: str) -> bool:
    if right.resource == "topic":
        return _allows(topics[right.name], right.operation)
    if right.resource == "transactional-id":
        # Without a producer id the request fails in any case. A worker's id is the one of partition 0.
        of_worker = transactional_id(group_id, settings.updates_topic, 0)
        request = EndTxnRequest(
            transactional_id=of_worker if right.is_prefix else right.name,
            producer_id=-1,
            producer_epoch=-1,
            committed=False,
            max_version=3,
        )
        return bool(_send(admin, request).error_code != TransactionalIdAuthorizationFailedError.errno)
    if right.operation == "Read":
        name = group_id if right.is_prefix else right.name
        request = HeartbeatRequest(group_id=name, generation_id=-1, member_id="nobody")
        return bool(_send(admin, request).error_code != GroupAuthorizationFailedError.errno)
    if right.operation == "Delete":
        return (
            True  # A question would delete a group. `thalweg retire` ends with the broker's refusal, and goes on later.
        )
    answer = _send(admin, DescribeGroupsRequest(groups=[group_id]))
    return bool(answer.groups[0].error_code != GroupAuthorizationFailedError.errno)


def _allows(topic: dict[str, Any], operation: Operation) -> bool:
    """topic: what the broker says about a topic."""
    if topic["error_code"] == UNKNOWN_TOPIC:
        return True  # What makes the topic says whether this client may do so.
    if topic["error_code"] == TOPIC_REFUSED:
        # Without Describe, the broker tells nothing. `DescribeConfigs` does not include Describe and may be there.
        return operation == "DescribeConfigs"
    known = topic.get("authorized_operations")
    return known is None or OPERATION_NAMES[operation] in known


def _send(admin: Any, request: Any) -> Any:
    """Send a request to any broker. kafka-python's admin client has no public method for these requests."""
    return admin._manager.run(admin._manager.send, request)


def _has_login(settings: Settings) -> bool:
    """False where the client has no name at the broker, so that an administrator gives rights to everybody."""
    return bool(settings.broker_user or settings.broker_ca)


def _divided(rights: Sequence[Any], uses: Collection[str]) -> tuple[list[Any], list[Any]]:
    """The rights that are needed where these uses are wanted, and the others."""
    needed = [right for right in rights if not right.uses or set(right.uses) & set(uses)]
    return needed, [right for right in rights if right not in needed]


def _with_uses(rights: Iterable[CassandraRight]) -> str:
    return ", ".join(f"{right} (for {_listed(right.uses)})" for right in rights)


def _listed(uses: Sequence[str]) -> str:
    return " and ".join(uses)


def _setup_hint(role: Role, option: str, user: str | None) -> str:
    program, where = str(role), ""
    if role == "rekey":
        program, where = "rekey --source TOPIC", ", where the setting behavior_topic is the topic to write"
    command = f"`thalweg setup --for {program} {option} {user or 'NAME'}`"
    return f"{command} with an administrator's login gives all of them{where}"
