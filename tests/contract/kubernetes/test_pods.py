"""What a pod runs is what the code has: commands, settings, ports, paths of probes, and times to stop."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from streams.cli import COMMANDS, make_parser
from streams.config.settings import PREFIX
from streams.health.endpoints import Endpoints
from streams.health.metrics import WorkerMetrics
from streams.health.watchdog import STOP_LIMIT_S
from streams.serve.server import GRACE_S
from streams.supervisor.link import END_LIMIT_S
from tests.tools.docker.manifests import containers, environment, of_kind, pod_template, programs, settings_of

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
KILL_MARGIN_S = 5  # between the last moment at which a program ends by itself and the kill
START_S = 10  # that a pod may take to start again
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def test_an_image_has_a_version_and_the_program_that_of_the_project(resources: list[dict[str, Any]]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for container in containers(resources):
        _, tag = container.spec["image"].rsplit(":", 1)
        assert tag not in ("", "latest", "unset"), container.label
        assert container.is_bundle or tag == version, container.label


def test_a_pod_has_no_rights_that_it_does_not_need(resources: list[dict[str, Any]]) -> None:
    uid = re.search(r"useradd .*--uid (\d+) thalweg", DOCKERFILE)
    assert uid is not None
    for container in containers(resources):
        pod, security = container.pod, container.pod["securityContext"]
        assert security["runAsNonRoot"] is True, container.label
        assert {security["runAsUser"], security["runAsGroup"], security["fsGroup"]} == {int(uid[1])}, container.label
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, container.label
        assert pod["automountServiceAccountToken"] is False, container.label
        assert pod["enableServiceLinks"] is False, container.label
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), container.label
        assert container.spec["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, container.label


def test_the_namespace_refuses_pods_with_more_rights(resources: list[dict[str, Any]]) -> None:
    for namespace in of_kind(resources, "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_container_has_bounds(resources: list[dict[str, Any]]) -> None:
    for container in containers(resources):
        bounds = container.spec["resources"]
        assert set(bounds["requests"]) == {"cpu", "memory"}, container.label
        assert set(bounds["limits"]) == {"memory"}, f"{container.label}: a limit of the CPU delays events"


def test_a_program_may_write_to_its_folder_of_temporary_files_alone(resources: list[dict[str, Any]]) -> None:
    for container in programs(resources):
        volumes = {volume["name"]: volume for volume in container.pod["volumes"]}
        claims = container.workload["spec"].get("volumeClaimTemplates", [])
        volumes |= {claim["metadata"]["name"]: claim for claim in claims}
        mounts = {mount["mountPath"]: mount for mount in container.spec["volumeMounts"]}
        assert {mount["name"] for mount in mounts.values()} <= set(volumes), container.label
        writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
        assert writable == {"/tmp"} | ({"/monitor"} if container.spec["args"] == ["monitor"] else set())
        assert "emptyDir" in volumes[mounts["/tmp"]["name"]]
        paths = [value for value in environment(resources, container).values() if value.startswith("/")]
        paths += [value for value in container.spec["args"] if value.startswith("/")]
        for path in paths:
            assert any(path == mounted or path.startswith(f"{mounted}/") for mounted in [*mounts, "/bundle"]), path


def test_a_secret_is_a_reference(resources: list[dict[str, Any]]) -> None:
    assert of_kind(resources, "Secret") == []
    for container in programs(resources):
        for name, value in environment(resources, container).items():
            assert not re.search(r"PASSWORD$|SECRET|TOKEN$", name), container.label
            assert not name.endswith("_PASSWORD_FILE") or value.startswith("/run/secrets/"), container.label


def test_a_command_is_one_of_thalweg(resources: list[dict[str, Any]]) -> None:
    assert 'ENTRYPOINT ["thalweg"]' in DOCKERFILE
    for container in programs(resources):
        arguments = container.spec["args"]
        assert arguments[0] in COMMANDS, container.label
        make_parser(arguments[:1]).parse_args(arguments)  # ends the test with SystemExit
        assert "command" not in container.spec, container.label


def test_a_variable_is_a_setting(resources: list[dict[str, Any]]) -> None:
    for container in programs(resources):
        assert all(name.startswith(PREFIX) for name in environment(resources, container)), container.label
        settings_of(resources, container)


def test_a_bundle_is_named_once(resources: list[dict[str, Any]]) -> None:
    ids = {one["metadata"]["name"]: one["data"]["id"] for one in of_kind(resources, "ConfigMap") if "id" in one["data"]}
    copied = [one for one in containers(resources) if one.is_bundle]
    assert bool(copied) == bool(ids)
    for container in copied:
        is_challenger = "challenger" in (
            container.workload["metadata"]["labels"]["thalweg/bundle"],
            container.spec["name"],
        )
        named = ids["thalweg-challenger" if is_challenger else "thalweg-bundle"]
        assert environment(resources, container) == {"BUNDLE": named}, container.label
        assert container.spec["image"].endswith(f":{named}"), container.label
        if container.workload["kind"] == "Job":
            assert named in container.workload["metadata"]["name"]


def test_a_server_of_a_trial_has_both_bundles(resources: list[dict[str, Any]]) -> None:
    for container in programs(resources):
        copies = [one["volumeMounts"][0]["name"] for one in container.pod.get("initContainers", []) if "command" in one]
        arguments = container.spec["args"]
        named = [arguments[place + 1] for place, word in enumerate(arguments) if word == "--bundle"]
        assert arguments[0] != "serve" or (named or ["/bundle"]) == sorted(f"/{name}" for name in copies)


def test_ports_and_probes_are_those_of_the_code(resources: list[dict[str, Any]]) -> None:
    of_image = re.search(r"THALWEG_HTTP_PORT=(\d+)", DOCKERFILE)
    assert of_image is not None
    for container in containers(resources):
        spec = container.spec
        if "ports" not in spec:
            assert not set(PROBES) & set(spec), container.label
            continue
        ((port),) = spec["ports"]
        arguments = spec["args"]
        if arguments[0] == "serve":
            assert port["containerPort"] == int(arguments[arguments.index("--port") + 1])
            assert arguments[arguments.index("--host") + 1] == "0.0.0.0"
            known = set(json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"])
        else:
            settings = settings_of(resources, container)
            assert port["containerPort"] == settings.http_port == int(of_image[1])
            assert settings.http_host == "0.0.0.0"
            endpoints = Endpoints("", 0, WorkerMetrics().registry, lambda: "ok", lambda: True)
            known = set(endpoints._answers)
        for probe in PROBES:
            assert spec[probe]["httpGet"]["port"] == port["name"], container.label
            assert spec[probe]["httpGet"]["path"] in known, container.label
        assert spec["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert spec["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_a_pod_is_killed_after_its_program_could_stop_in_order(resources: list[dict[str, Any]]) -> None:
    for container in programs(resources):
        grace_s = container.pod["terminationGracePeriodSeconds"]
        sleep_s = container.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        takes_s = {"serve": GRACE_S, "worker": END_LIMIT_S, "shadow": END_LIMIT_S}.get(container.spec["args"][0], 0)
        assert grace_s >= sleep_s + takes_s + KILL_MARGIN_S, container.label


@pytest.mark.parametrize("command", ["worker", "shadow"])
def test_a_worker_keeps_its_partitions_through_a_restart_by_the_name_of_its_pod(
    resources: list[dict[str, Any]], command: str
) -> None:
    for container in programs(resources):
        settings = settings_of(resources, container)
        assert (settings.group_instance_id == "pod-0") == (container.spec["args"][0] in ("worker", "shadow"))
        if container.spec["args"][0] == command:
            assert container.workload["kind"] == "StatefulSet"
            assert settings.session_timeout_s >= STOP_LIMIT_S + START_S


def test_the_state_of_the_monitor_outlasts_its_pod(resources: list[dict[str, Any]]) -> None:
    for container in programs(resources):
        folder = environment(resources, container).get("THALWEG_MONITOR_FOLDER")
        assert (folder is not None) == (container.spec["args"][0] == "monitor")
        if folder is not None:
            (claim,) = container.workload["spec"]["volumeClaimTemplates"]
            assert {"name": claim["metadata"]["name"], "mountPath": folder} in container.spec["volumeMounts"]
            assert container.workload["spec"]["replicas"] == 1


def test_a_pod_carries_the_labels_of_its_workload(resources: list[dict[str, Any]]) -> None:
    for container in programs(resources):
        labels = container.workload["metadata"]["labels"]
        wanted = {key: value for key, value in labels.items() if key.startswith("app.kubernetes.io/")}
        assert pod_template(container.workload)["metadata"]["labels"] == wanted
        selector = container.workload["spec"].get("selector")
        assert selector is None or selector == {"matchLabels": wanted}
