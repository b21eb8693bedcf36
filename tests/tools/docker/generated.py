"""The manifests in docker/kubernetes that repeat the code: topics, users with their rights, and the alert rules.

`python -m tests.tools.docker.generated` writes the files again. A test compares the files with the code.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from streams.broker.topic_settings import planned_topics
from streams.commands.setup.plan import make_plan
from streams.config.settings import Settings
from streams.health.rights.kafka_rights import KafkaRight
from streams.health.rights.roles import Role
from tests.tools.docker.prometheus import RULES

COMMAND = "python -m tests.tools.docker.generated"
COMPONENTS = Path(__file__).parents[3] / "docker" / "kubernetes" / "components"
CLUSTER = {"strimzi.io/cluster": "kafka"}
# The program whose rights a user of Kafka has. Those of a worker suffice for `thalweg backfill`. KEDA looks at the
# group and the topic, as `thalweg bundles` does. Those of `thalweg promote` suffice for `bundles` and `rollback`.
# Those of `thalweg replay` are what any producer of events needs.
USERS: dict[str, Role] = {
    "thalweg-worker": "worker",
    "thalweg-serve": "serve",
    "thalweg-monitor": "monitor",
    "thalweg-archive": "archive",
    "thalweg-scaler": "bundles",
    "thalweg-promote": "promote",
    "thalweg-verify": "verify",
    "thalweg-producer": "replay",
}
SETUP = "thalweg-setup"  # finds the topics of Strimzi, and makes the updates topics of later bundles and lets them grow
KINDS = {"topic": "topic", "group": "group", "transactional-id": "transactionalId"}


def topics(settings: Settings) -> list[dict[str, Any]]:
    """Return each topic that `thalweg setup` would make as a KafkaTopic."""
    follow = {settings.behavior_topic, settings.updates_topic, settings.evaluation_topic, settings.dead_letter_topic}
    follow.add(settings.predictions_topic)
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {
                "name": name,
                "labels": CLUSTER | ({"thalweg/partitions": "events"} if name in follow else {}),
            },
            "spec": {"partitions": topic.partitions, "replicas": topic.replication, "config": dict(topic.configs)},
        }
        for name, topic in planned_topics(settings, settings.partitions).items()
    ]


def users(settings: Settings) -> list[dict[str, Any]]:
    """Return a KafkaUser for each program, with the rights of `thalweg setup --for`, and one for `thalweg setup`."""
    found = [_user(name, acls(make_plan(settings, [role], None, name, None).acls)) for name, role in USERS.items()]
    later = settings.bundle_updates_topic("", is_first=False)
    of_setup = [_acl("topic", name, "literal", ["Describe", "DescribeConfigs"]) for name in planned_topics(settings, 1)]
    return [
        *found,
        _user(SETUP, [*of_setup, _acl("topic", later, "prefix", ["Alter", "Create", "Describe", "DescribeConfigs"])]),
    ]


def acls(rights: Iterable[KafkaRight]) -> list[dict[str, Any]]:
    """Return the rights with one entry for each resource."""
    operations: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        place = (KINDS[right.resource], right.name, "prefix" if right.is_prefix else "literal")
        operations.setdefault(place, []).append(right.operation)
    return [_acl(*place, allowed) for place, allowed in sorted(operations.items())]


def prometheus_rule() -> list[dict[str, Any]]:
    """Return the rules of docker/prometheus for the Prometheus operator."""
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "thalweg", "labels": {"app.kubernetes.io/name": "thalweg"}},
            "spec": yaml.safe_load(RULES.read_text()),
        }
    ]


def files() -> dict[Path, str]:
    """Return the text of each generated file."""
    settings = Settings()
    made = {
        COMPONENTS / "strimzi" / "topics.yaml": topics(settings),
        COMPONENTS / "strimzi" / "users.yaml": users(settings),
        COMPONENTS / "monitoring" / "rules.yaml": prometheus_rule(),
    }
    return {path: f"# Written by {COMMAND}.\n" + _text(resources) for path, resources in made.items()}


def _user(name: str, rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaUser",
        "metadata": {"name": name, "labels": CLUSTER},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": list(rules)},
        },
    }


def _acl(kind: str, name: str, pattern: str, operations: Sequence[str]) -> dict[str, Any]:
    return {"resource": {"type": kind, "name": name, "patternType": pattern}, "operations": sorted(operations)}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _: Any) -> bool:
        """An object that stands twice is written twice."""
        return True


def _lines(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text of several lines stays readable."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _lines)


def _text(resources: Sequence[dict[str, Any]]) -> str:
    return yaml.dump_all(resources, Dumper=_Dumper, sort_keys=False, width=116, allow_unicode=True)


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
