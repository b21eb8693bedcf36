"""The plan as a shell script, for administrators who make everything with their own tools. Pure."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from streams.broker.decoding.client import CONTENT_TYPE, Registered, registration_body
from streams.broker.decoding.registration import updates_subject
from streams.broker.topic_settings import PlannedTopic
from streams.commands.setup.plan import Plan
from streams.config.settings import Settings, addresses
from streams.health.rights.cassandra_rights import quoted
from streams.health.rights.kafka_rights import KafkaRight, acl_command

LOGIN = ' --command-config "$KAFKA_LOGIN"'
HEAD = """\
#!/bin/sh
# Made by `thalweg setup --print`. A second run changes nothing.
# The script needs kafka-topics.sh and kafka-acls.sh of Apache Kafka, and cqlsh of Apache Cassandra.
# KAFKA_LOGIN: a file of client properties with an administrator's login.
set -eu
KAFKA_LOGIN="${KAFKA_LOGIN:-/dev/null}"
"""
SCHEMA_NOTE = "-- The login stands in ~/.cassandra/credentials, or in CQLSH_ARGUMENTS (-u, -p, --ssl)."
ROLE_NOTE = """\
-- A new role has no login: make it one (ALTER ROLE ... WITH LOGIN = true AND PASSWORD = ...), or GRANT it to one."""


def script(settings: Settings, plan: Plan) -> str:
    """The text of the script. A broker's tools take a topic or a rule that exists already."""
    parts = [HEAD, "# Topics", *(_topic_command(settings, name, topic) for name, topic in plan.topics.items())]
    if plan.user:
        parts += ["", f"# Rights of the Kafka user {plan.user}", *_acl_commands(settings, plan.acls, plan.user)]
    if plan.update_schema is not None:
        parts += ["", *_registration(settings, plan.update_schema)]
    if plan.schema:
        parts += ["", *_cql(settings, plan)]
    return "\n".join(parts) + "\n"


def _topic_command(settings: Settings, name: str, topic: PlannedTopic) -> str:
    configs = "".join(f" --config {key}={value}" for key, value in topic.configs.items())
    return (
        f"kafka-topics.sh --bootstrap-server {shlex.quote(settings.broker)}{LOGIN} --create --if-not-exists "
        f"--topic {shlex.quote(name)} "
        f"--partitions {topic.partitions} --replication-factor {topic.replication}{configs}"
    )


def _acl_commands(settings: Settings, rights: Sequence[KafkaRight], user: str) -> Iterator[str]:
    """One command for all resources of a kind on which the user gets the same right."""
    ordered = sorted(rights, key=_kind)
    for (*_, uses), group in groupby(ordered, key=_kind):
        note = f"  # for {' and '.join(uses)}" if uses else ""
        yield acl_command(settings, group, shlex.quote(user), LOGIN) + note


def _kind(right: KafkaRight) -> tuple[str, bool, str, tuple[str, ...]]:
    return right.resource, right.is_prefix, right.operation, right.uses


def _registration(settings: Settings, schema: Registered) -> Iterator[str]:
    url = shlex.quote(f"{(settings.schema_registry or '').rstrip('/')}/subjects/{updates_subject(settings)}/versions")
    yield "# Schema of representation updates. CURL_ARGUMENTS may hold a login, such as --user NAME:PASSWORD."
    yield f"curl -sS --fail ${{CURL_ARGUMENTS:-}} -H 'Content-Type: {CONTENT_TYPE}' --data-binary @- {url} <<'SCHEMA'"
    yield msgspec.json.encode(registration_body(schema)).decode()
    yield "SCHEMA"


def _cql(settings: Settings, plan: Plan) -> Iterator[str]:
    host, port = addresses("cassandra", settings.cassandra)[0]
    yield "# Keyspace, tables and rights in Cassandra"
    yield f"cqlsh ${{CQLSH_ARGUMENTS:-}} {host} {port} <<'CQL'"
    yield SCHEMA_NOTE
    for statement in plan.schema:
        yield f"{statement};"
    if plan.role:
        yield ROLE_NOTE
        yield f"CREATE ROLE IF NOT EXISTS {quoted(plan.role)};"
        for right in plan.grants:
            note = f" -- for {' and '.join(right.uses)}" if right.uses else ""
            yield f"{right.grant(plan.role)};{note}"
    yield "CQL"
