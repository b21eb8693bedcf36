"""What surrounds the pods fits them: topics, users with their rights, scaling, policies, services and alerts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.broker.topic_settings import planned_topics
from streams.config.settings import Settings
from streams.health.rights.kafka_rights import kafka_rights, with_later_bundles
from streams.health.rights.roles import Role
from tests.tools.docker import generated, manifests
from tests.tools.docker.manifests import matches, named, of_kind, pod_template, programs, settings_of
from tests.tools.docker.prometheus import RULES

# The programs whose rights the users have. KEDA is no pod of ours, and a person runs the commands about bundles.
ROLES: dict[str, tuple[Role, ...]] = {
    "thalweg-worker": ("worker", "backfill"),
    "thalweg-serve": ("serve",),
    "thalweg-monitor": ("monitor",),
    "thalweg-archive": ("archive",),
    "thalweg-promote": ("promote", "rollback", "bundles"),
    "thalweg-verify": ("verify",),
    "thalweg-producer": ("replay",),
}
INCLUDED = {"Read": "Describe", "Write": "Describe"}  # a right includes another one
HAVE_TABLES = {"worker", "shadow", "serve", "setup", "backfill", "verify"}
Rule = tuple[str, str, str, str]  # kind of the resource, name, pattern, operation


def rules_of(user: dict[str, Any]) -> set[Rule]:
    """Return the rights of a KafkaUser one by one."""
    return {
        (acl["resource"]["type"], acl["resource"]["name"], acl["resource"]["patternType"], operation)
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    }


def needed(settings: Settings, *roles: Role) -> set[Rule]:
    """Return the rights of programs by the list of the code, without those that other rights include."""
    rights = {
        (generated.KINDS[right.resource], right.name, "prefix" if right.is_prefix else "literal", right.operation)
        for role in roles
        for right in with_later_bundles(settings, kafka_rights(settings, role))
    }
    return rights - {(*place, INCLUDED[operation]) for *place, operation in rights if operation in INCLUDED}


def workloads(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return of_kind(resources, "StatefulSet", "Deployment", "Job", "CronJob")


@pytest.mark.parametrize("path", generated.files(), ids=lambda path: path.name)
def test_generated_manifests_are_up_to_date(path: Path) -> None:
    assert path.read_text() == generated.files()[path], f"write the file again: {generated.COMMAND}"


def test_the_alert_rules_are_those_of_the_compose_file() -> None:
    (resource,) = yaml.safe_load_all((generated.COMPONENTS / "monitoring" / "rules.yaml").read_text())
    assert resource["spec"] == yaml.safe_load(RULES.read_text())


def test_each_alert_links_to_its_section_of_the_runbook(resources: list[dict[str, Any]]) -> None:
    for resource in of_kind(resources, "PrometheusRule"):
        assert resource["spec"] == yaml.safe_load(RULES.read_text())


def test_topics_are_those_that_setup_would_make(resources: list[dict[str, Any]]) -> None:
    topics = of_kind(resources, "KafkaTopic")
    if not topics:
        return
    settings = settings_of(resources, programs(resources)[0])
    planned = planned_topics(settings, settings.partitions)
    assert sorted(topic["metadata"]["name"] for topic in topics) == sorted(planned)
    for topic in topics:
        wanted, spec = planned[topic["metadata"]["name"]], topic["spec"]
        assert (spec["partitions"], spec["replicas"]) == (wanted.partitions, wanted.replication)
        others = {"min.insync.replicas": 2} if wanted.replication == 3 else {}
        assert spec["config"] == {**wanted.configs, **others}


@pytest.mark.parametrize("name", ROLES)
def test_a_user_has_the_rights_of_its_programs_and_no_others(resources: list[dict[str, Any]], name: str) -> None:
    if not of_kind(resources, "KafkaUser"):
        return
    settings = settings_of(resources, programs(resources)[0])
    has = rules_of(named(resources, "KafkaUser", name))
    assert has - {(*place, "Describe") for *place, operation in has if operation in INCLUDED} == needed(
        settings, *ROLES[name]
    )


def test_a_program_logs_in_as_a_user_with_its_rights(resources: list[dict[str, Any]]) -> None:
    users = {user["metadata"]["name"] for user in of_kind(manifests.render("production"), "KafkaUser")}
    for container in programs(resources):
        settings, command = settings_of(resources, container), container.spec["args"][0]
        assert settings.broker_user in users
        role = "worker" if command == "shadow" else command
        assert role == "setup" or role in ROLES[str(settings.broker_user)], container.label
        secrets = {one["name"]: one["secret"]["secretName"] for one in container.pod["volumes"] if "secret" in one}
        assert secrets["broker"] == settings.broker_user  # Strimzi names the Secret after the user
        assert (settings.cassandra_user is not None) == (command in HAVE_TABLES), container.label
        if settings.cassandra_user is not None:
            assert secrets["cassandra"] == f"thalweg-cassandra-{settings.cassandra_user.removeprefix('thalweg_')}"


def test_setup_gives_each_role_the_rights_of_its_programs(resources: list[dict[str, Any]]) -> None:
    given, wanted = {}, {}
    has_job = any(container.spec["args"][0] == "setup" for container in programs(resources))
    for container in programs(resources if has_job else manifests.render("production")):
        arguments = container.spec["args"]
        if arguments[0] == "setup":
            role = arguments[arguments.index("--cassandra-role") + 1]
            given[role] = set(arguments[arguments.index("--for") + 1 : arguments.index("--cassandra-role")])
    for container in programs(resources):
        settings, command = settings_of(resources, container), container.spec["args"][0]
        if command != "setup" and settings.cassandra_user is not None:
            wanted.setdefault(settings.cassandra_user, set()).add("worker" if command == "shadow" else command)
    assert given == {
        "thalweg_worker": {"worker", "backfill", "verify"},
        "thalweg_serve": {"serve"},
        "thalweg_promote": {"promote", "rollback", "bundles"},
    }
    assert all(roles <= given[name] for name, roles in wanted.items())


def test_setup_finds_topics_and_makes_and_grows_those_of_later_bundles_alone() -> None:
    settings = Settings()
    user = named(
        list(yaml.safe_load_all((generated.COMPONENTS / "strimzi" / "users.yaml").read_text())),
        "KafkaUser",
        "thalweg-setup",
    )
    changed = {rule[1:] for rule in rules_of(user) if rule[3] not in ("Describe", "DescribeConfigs")}
    later = settings.bundle_updates_topic("", is_first=False)
    assert changed == {(later, "prefix", "Create"), (later, "prefix", "Alter")}


def test_keda_watches_the_group_of_the_workers(resources: list[dict[str, Any]]) -> None:
    for scaled in of_kind(resources, "ScaledObject"):
        workers = named(resources, "StatefulSet", scaled["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in workers["spec"], "kubectl apply would set the number of workers back"
        worker = next(one for one in programs(resources) if one.workload is workers)
        settings = settings_of(resources, worker)
        (trigger,) = scaled["spec"]["triggers"]
        metadata, bundle_id = trigger["metadata"], named(resources, "ConfigMap", "thalweg-bundle")["data"]["id"]
        assert metadata["consumerGroup"] == settings.consumer_group_id(bundle_id)
        assert metadata["topic"] == settings.behavior_topic
        assert metadata["bootstrapServers"] == settings.broker
        assert scaled["spec"]["maxReplicaCount"] <= settings.partitions, "a worker without partitions is never ready"
        login = named(resources, "TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]
        (username,), (password, ca) = login["configMapTargetRef"], login["secretTargetRef"]
        user = named(resources, "ConfigMap", username["name"])["data"][username["key"]]
        assert (password["name"], ca["name"]) == (user, "kafka-cluster-ca-cert")
        assert rules_of(named(resources, "KafkaUser", user)) == {
            ("topic", settings.behavior_topic, "literal", "Describe"),
            ("group", settings.consumer_group_id(""), "prefix", "Describe"),
        }


def test_keda_asks_for_no_more_workers_than_there_must_be_nodes(resources: list[dict[str, Any]]) -> None:
    """A worker that waits for a node is never ready, and holds up a rolling update."""
    for scaled in of_kind(resources, "ScaledObject"):
        workers = named(resources, "StatefulSet", scaled["spec"]["scaleTargetRef"]["name"])
        affinity = pod_template(workers)["spec"]["affinity"]["podAntiAffinity"]
        (apart,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        assert apart["topologyKey"] == "kubernetes.io/hostname"
        container = next(one for one in programs(resources) if one.workload is workers)
        nodes = settings_of(resources, container).replication  # each replica of the data is on a node of its own
        assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"] <= nodes


def test_a_service_and_a_budget_select_the_pods_of_one_workload(resources: list[dict[str, Any]]) -> None:
    pods = {one["metadata"]["name"]: pod_template(one)["metadata"]["labels"] for one in workloads(resources)}
    for kind in ("Service", "PodDisruptionBudget"):
        for one in of_kind(resources, kind):
            selector = (
                one["spec"]["selector"] if kind == "PodDisruptionBudget" else {"matchLabels": one["spec"]["selector"]}
            )
            assert [name for name, labels in pods.items() if matches(selector, labels)] == [one["metadata"]["name"]]
    for one in of_kind(resources, "PodDisruptionBudget"):
        policy = one["spec"].get("unhealthyPodEvictionPolicy")
        assert policy == "AlwaysAllow", "a pod that is never ready would hold up the drain of its node"
    for one in of_kind(resources, "StatefulSet"):
        assert named(resources, "Service", one["spec"]["serviceName"])
    protected = {one["metadata"]["name"] for one in of_kind(resources, "PodDisruptionBudget")}
    assert {one["metadata"]["name"] for one in of_kind(resources, "StatefulSet", "Deployment")} - protected <= {
        "thalweg-monitor"
    }


def test_pods_are_spread(resources: list[dict[str, Any]]) -> None:
    for one in of_kind(resources, "StatefulSet", "Deployment"):
        template = pod_template(one)
        if one["metadata"]["name"] == "thalweg-monitor":
            continue
        rules = list(template["spec"]["topologySpreadConstraints"])
        affinity = template["spec"].get("affinity", {}).get("podAntiAffinity", {})
        rules += affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
        assert {rule["topologyKey"] for rule in rules} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert all(matches(rule["labelSelector"], template["metadata"]["labels"]) for rule in rules)


def test_prometheus_finds_every_pod_once_by_the_names_of_the_rules(resources: list[dict[str, Any]]) -> None:
    monitors = of_kind(resources, "ServiceMonitor")
    if not monitors:
        return
    jobs = []
    for service in of_kind(resources, "Service"):
        labels = service["metadata"]["labels"]
        (monitor,) = (one for one in monitors if matches(one["spec"]["selector"], labels))
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        jobs.append(labels[monitor["spec"]["jobLabel"]])
    assert sorted(set(jobs) - {"challenger"}) == ["monitor", "serve", "worker"]
    assert len(set(jobs)) == len(jobs)


def test_pods_reach_what_they_use_and_nothing_else(resources: list[dict[str, Any]]) -> None:
    """An overlay without policies is applied beside production, whose policies then hold for its pods."""
    policies = of_kind(resources, "NetworkPolicy") or of_kind(manifests.render("production"), "NetworkPolicy")
    for container in programs(resources):
        labels = pod_template(container.workload)["metadata"]["labels"]
        own = [one["spec"] for one in policies if matches(one["spec"]["podSelector"], labels)]
        assert {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "thalweg"}},
            "policyTypes": ["Ingress", "Egress"],
        } in own
        settings = settings_of(resources, container)
        out = {port["port"] for policy in own for rule in policy.get("egress", []) for port in rule["ports"]}
        wanted = {53, int(settings.broker.rpartition(":")[2])}
        if settings.cassandra_user is not None:
            wanted.add(int(settings.cassandra.rpartition(":")[2]))
        if any("secretRef" in source for source in container.spec["envFrom"]):
            wanted.add(443)
        assert out == wanted, container.label
        into = {port["port"] for policy in own for rule in policy.get("ingress", []) for port in rule["ports"]}
        assert into == {port["name"] for port in container.spec.get("ports", [])}, container.label
