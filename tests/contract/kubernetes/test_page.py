"""docs/kubernetes.md names what the manifests expect: every overlay, and a command for every Secret."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.tools.docker import manifests
from tests.tools.docker.manifests import environment, of_kind, programs

PAGE = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text()
LOGIN_OF_BUCKETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}

pytestmark = pytest.mark.skipif(manifests.MAY_SKIP, reason=manifests.REASON)


def secrets_read(resources: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the keys that the programs and the operators read, by the name of the Secret."""
    read: dict[str, set[str]] = defaultdict(set)
    for container in programs(resources):
        paths = [*environment(resources, container).values(), *container.spec["args"]]
        mounts = {one["name"]: one["mountPath"] for one in container.spec["volumeMounts"]}
        for volume in container.pod["volumes"]:
            if "secret" in volume and volume["name"] in mounts:
                folder = f"{mounts[volume['name']]}/"
                keys = {path.removeprefix(folder) for path in paths if path.startswith(folder)}
                assert keys, f"{container.label} reads nothing of {volume['name']}"
                read[volume["secret"]["secretName"]] |= keys
        for source in container.spec["envFrom"]:
            if "secretRef" in source:
                read[source["secretRef"]["name"]] |= LOGIN_OF_BUCKETS
    for login in of_kind(resources, "TriggerAuthentication"):
        for one in login["spec"]["secretTargetRef"]:
            read[one["name"]].add(one["key"])
    for monitor in of_kind(resources, "ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            if "authorization" in endpoint:
                credentials = endpoint["authorization"]["credentials"]
                read[credentials["name"]].add(credentials["key"])
    return read


def test_the_page_has_a_command_for_each_secret_that_no_operator_makes(resources: list[dict[str, Any]]) -> None:
    """Strimzi makes the Secret of a KafkaUser, with the key password."""
    users = {one["metadata"]["name"] for one in of_kind(manifests.render("production"), "KafkaUser")}
    commands = dict(re.findall(r"create secret generic (\S+)((?: --from-\S+)+)", PAGE.replace("\\\n  ", "")))
    for name, keys in secrets_read(resources).items():
        if name in users:
            assert keys == {"password"}, name
        else:
            assert set(re.findall(r"--from-(?:literal|file)=([\w.]+)", commands.get(name, ""))) == keys, name


def test_the_page_has_a_command_for_each_file_of_events() -> None:
    (replay,) = programs(manifests.render("replay"))
    (volume,) = (one for one in replay.pod["volumes"] if "configMap" in one)
    (mount,) = (one for one in replay.spec["volumeMounts"] if one["name"] == volume["name"])
    (file,) = (one for one in replay.spec["args"] if one.startswith(mount["mountPath"]))
    key = file.removeprefix(f"{mount['mountPath']}/")
    assert f"create configmap {volume['configMap']['name']} --from-file={key}={key}\n" in PAGE


@pytest.mark.parametrize("overlay", manifests.OVERLAYS)
def test_the_page_says_what_each_overlay_makes(overlay: str) -> None:
    assert f"| `overlays/{overlay}` |" in PAGE
