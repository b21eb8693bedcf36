"""The plan of `thalweg setup` and its script."""

import re
import shlex
from pathlib import Path

import pytest

from export.runtime.bundle import Manifest
from streams.commands.setup.plan import Plan, make_plan, needs_cassandra
from streams.commands.setup.script import script
from streams.config.settings import Settings
from streams.health.rights.kafka_rights import KafkaRight
from streams.health.rights.roles import ROLES, Role
from streams.store.migrations.migrations import LAST
from tests.support.bundles import tiny_bundle

SETTINGS = Settings(broker="kafka-1:9092", cassandra="10.0.0.1:9042", group="shop", partitions=6, replication=3)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return tiny_bundle(tmp_path / "bundle").manifest


@pytest.fixture
def plan(manifest: Manifest) -> Plan:
    return make_plan(SETTINGS, ["worker", "serve"], manifest, "shop user", "Shop")


def commands(text: str) -> list[list[str]]:
    """Return the words of each command of Kafka's tools."""
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("kafka-")]


def options(words: list[str]) -> dict[str, list[str]]:
    """Return the values of each option of a command."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in words[1:]:
        if word.startswith("--"):
            name = word
            found.setdefault(name, [])
        else:
            found[name].append(word)
    return found


def test_the_script_creates_every_topic_of_the_plan(plan: Plan) -> None:
    created = {}
    for words in commands(script(SETTINGS, plan)):
        found = options(words)
        if words[0] == "kafka-topics.sh":
            assert found["--bootstrap-server"] == ["kafka-1:9092"]
            assert "--if-not-exists" in found
            (name,), (count,), (replicas,) = (
                found[f"--{key}"] for key in ("topic", "partitions", "replication-factor")
            )
            created[name] = (int(count), int(replicas), dict(text.split("=") for text in found.get("--config", [])))
    planned = {name: (topic.partitions, topic.replication, topic.configs) for name, topic in plan.topics.items()}
    assert created == planned
    in_sync = {"min.insync.replicas": "2"}
    assert created[SETTINGS.updates_topic] == (6, 3, {"cleanup.policy": "compact", **in_sync})
    assert created[SETTINGS.catalogue_topic] == (1, 3, {"cleanup.policy": "compact", **in_sync})
    assert created[SETTINGS.behavior_topic] == (6, 3, in_sync)
    assert set(created) == {getattr(SETTINGS, name) for name in Settings.__struct_fields__ if name.endswith("_topic")}


def test_the_script_gives_every_right_of_the_plan_on_kafka(plan: Plan) -> None:
    given = set()
    for words in commands(script(SETTINGS, plan)):
        found = options(words)
        if words[0] == "kafka-acls.sh":
            assert found["--allow-principal"] == ["User:shop user"]
            for kind in ("topic", "group", "transactional-id"):
                for name in found.get(f"--{kind}", []):
                    is_prefix = kind != "topic" or name == f"{SETTINGS.updates_topic}."
                    assert found.get("--resource-pattern-type") == (["prefixed"] if is_prefix else None)
                    given.add((kind, name, *found["--operation"]))
    assert given == {right[:3] for right in plan.acls}
    assert ("group", "shop-", "Read") in given
    assert ("topic", f"{SETTINGS.updates_topic}.", "Write") in given, "later bundles have topics of their own"
    assert ("transactional-id", "shop-", "Write") in given


def test_the_script_makes_the_schema_and_gives_every_right_in_cassandra(plan: Plan) -> None:
    text = script(SETTINGS, plan)
    assert "cqlsh ${CQLSH_ARGUMENTS:-} 10.0.0.1 9042 <<'CQL'" in text
    cql = text.partition("<<'CQL'\n")[2]
    assert cql.endswith("\nCQL\n")
    for statement in plan.schema:
        assert f"{statement};" in cql
    assert plan.schema[0].startswith("CREATE KEYSPACE IF NOT EXISTS thalweg")
    assert "'replication_factor': 3" in plan.schema[0]
    added = [statement.partition(" ADD IF NOT EXISTS (") for statement in plan.schema if " ADD " in statement]
    assert [(table, columns.split()[0]) for table, _, columns in added] == [
        ("ALTER TABLE thalweg.bundles", "updates_topic"),
        ("ALTER TABLE thalweg.mappings", "last_used_at"),
        ("ALTER TABLE thalweg.active_bundle", "replaced"),
        ("ALTER TABLE thalweg.bundles", "log_id"),
        ("ALTER TABLE thalweg.representations_35", "recent_items"),
    ]
    assert cql.count("INSERT INTO thalweg.migrations ") == LAST, "a worker without rights finds all migrations applied"
    assert 'CREATE ROLE IF NOT EXISTS "Shop";' in cql
    given = re.findall(r'^GRANT (\w+) ON TABLE thalweg\.(\w+) TO "Shop";', cql, re.MULTILINE)
    assert given == [(right.permission, right.table) for right in plan.grants]


def test_a_right_that_two_programs_share_is_needed_where_one_of_them_needs_it() -> None:
    alone = {right[:3]: right for right in make_plan(SETTINGS, ["serve"], None, "u", None).acls}
    both = {right[:3]: right for right in make_plan(SETTINGS, ["serve", "replay"], None, "u", None).acls}
    read = ("topic", SETTINGS.behavior_topic, "Read")
    assert alone[read].uses == ("explanations of users", "erasures", "the page")
    assert both[read].uses == ()
    assert both[("topic", SETTINGS.updates_topic, "Read")].uses == ("--lookalikes", "the page")


def test_without_a_user_and_a_role_no_rights_are_given(manifest: Manifest) -> None:
    plan = make_plan(SETTINGS, ["worker"], manifest, None, None)
    assert (plan.acls, plan.grants) == ([], [])
    text = script(SETTINGS, plan)
    assert "kafka-acls" not in text.replace("needs kafka-topics.sh and kafka-acls.sh", "")
    assert "GRANT" not in text


@pytest.mark.parametrize("program", ROLES)
def test_only_programs_with_rows_need_a_bundle(program: Role) -> None:
    assert needs_cassandra([program]) == (program not in ("monitor", "replay", "items", "dlq", "rekey", "archive"))
    plan = make_plan(SETTINGS, [program], None, "u", "r")
    assert plan.acls
    assert (plan.schema, plan.grants) == ([], [])
    assert KafkaRight("topic", SETTINGS.behavior_topic, "Alter") not in plan.acls  # type: ignore[arg-type]


def test_a_name_with_signs_of_the_shell_is_one_word_of_the_script() -> None:
    text = script(SETTINGS, make_plan(SETTINGS, ["rekey"], None, "shop", None, "tracking; echo $HOME"))
    assert {words[0] for words in commands(text)} == {"kafka-topics.sh", "kafka-acls.sh"}
    topics = [topic for words in commands(text) for topic in options(words).get("--topic", [])]
    assert {"tracking; echo $HOME", "tracking; echo $HOME.dlq"} <= set(topics)
