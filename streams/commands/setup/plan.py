"""What has to exist before the programs run with the least rights. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from export.runtime.bundle import Manifest
from streams.broker.decoding.client import Registered
from streams.broker.decoding.registration import updates_schema
from streams.broker.topic_settings import PlannedTopic, planned_topics
from streams.config.settings import Settings
from streams.health.rights.cassandra_rights import CassandraRight, cassandra_rights
from streams.health.rights.kafka_rights import (
    SOURCE,
    KafkaRight,
    dead_letter_topic,
    joined_uses,
    kafka_rights,
    with_later_bundles,
)
from streams.health.rights.roles import Role
from streams.store import cql_schema

Right = TypeVar("Right", KafkaRight, CassandraRight)


class Plan(NamedTuple):
    """Everything that `thalweg setup` makes.

    acls: for the Kafka user `user`; empty without a user. schema: CQL statements, each of which changes nothing where
    the keyspace, the table or the column exists; empty without a bundle. grants: for the Cassandra role `role`; empty
    without a role or a bundle. update_schema: of representation updates; None where no worker writes with a schema.
    """

    topics: Mapping[str, PlannedTopic]
    user: str | None
    acls: Sequence[KafkaRight]
    schema: Sequence[str]
    role: str | None
    grants: Sequence[CassandraRight]
    update_schema: Registered | None = None


def needs_cassandra(programs: Sequence[Role]) -> bool:
    """Whether one of the programs needs rights on tables. The tables depend on the bundle."""
    return any(cassandra_rights("any", program, 1) for program in programs)


def make_plan(
    settings: Settings,
    programs: Sequence[Role],
    manifest: Manifest | None,
    user: str | None,
    role: str | None,
    source: str | None = None,
) -> Plan:
    """The plan for these programs. manifest: of the bundle, whose widths the tables have; None leaves Cassandra out.

    source: the topic that `thalweg rekey` reads. Raises SettingsError for a keyspace name that Cassandra does not take.
    """
    topics = planned_topics(settings, settings.partitions)
    if source:
        topics[dead_letter_topic(source)] = PlannedTopic(settings.partitions, settings.replication)
    acls = [right for program in programs for right in kafka_rights(settings, program, source or SOURCE)]
    acls = _united(with_later_bundles(settings, acls)) if user else []
    update_schema = updates_schema(settings) if "worker" in programs and settings.updates_format != "json" else None
    if manifest is None:
        return Plan(topics, user, acls, [], role, [], update_schema)
    width = manifest.representation_width
    grants = _united(
        right for program in programs for right in cassandra_rights(settings.keyspace, program, width) if role
    )
    return Plan(topics, user, acls, _schema(settings, manifest), role, grants, update_schema)


def _schema(settings: Settings, manifest: Manifest) -> list[str]:
    width, places, bought = manifest.representation_width, manifest.recent_places, manifest.bought_places
    statements = cql_schema.statements(settings.keyspace, settings.replication, width, places, bought)
    later = cql_schema.later_columns(width, places, bought)  # Existing tables may lack them.
    return statements + [cql_schema.add_columns(settings.keyspace, table, types) for table, types in later.items()]


def _united(rights: Iterable[Right]) -> list[Right]:
    """The rights of several programs, each once."""
    found: dict[tuple[str, str, str], Right] = {}
    for right in rights:
        same = found.setdefault(right[:3], right)
        found[right[:3]] = right._replace(uses=joined_uses(same.uses, right.uses))
    return sorted(found.values(), key=lambda right: bool(right.uses))
