"""The manifests of docker/kubernetes, rendered by kustomize, and what the programs in them get."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from streams.config.loading import load_settings
from streams.config.settings import Settings

KUBERNETES = Path(__file__).parents[3] / "docker" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"  # go install compares the module with Go's database of sums
BUILT_WITHIN_S = 480.0
RENDERED_WITHIN_S = 60.0
MAY_SKIP = not (shutil.which("kubectl") or shutil.which("go")) and os.environ.get("CI") != "true"
REASON = "no kubectl, whose part kustomize renders the manifests, and no go, which builds kustomize, on the PATH"

Resource = dict[str, Any]


class Container(NamedTuple):
    """A container of the image of Thalweg or of a bundle. workload: the resource with the pod."""

    workload: Resource
    pod: Resource
    spec: Resource
    is_init: bool

    @property
    def label(self) -> str:
        return f"{self.workload['kind']} {self.workload['metadata']['name']}: {self.spec['name']}"

    @property
    def component(self) -> str:
        return str(self.workload["metadata"]["labels"]["app.kubernetes.io/component"])

    @property
    def is_bundle(self) -> bool:
        """Whether the container copies a bundle."""
        return self.spec["image"].rpartition("/")[2].startswith("thalweg-bundle:")


@functools.cache
def render(overlay: str) -> list[Resource]:
    """Return the resources of an overlay, as `kubectl apply -k` sends them."""
    return render_folder(KUBERNETES / "overlays" / overlay)


def render_folder(folder: Path) -> list[Resource]:
    """Return the resources of a folder with a kustomization.yaml."""
    ended = subprocess.run(
        [*_kustomize(), str(folder)], capture_output=True, text=True, timeout=RENDERED_WITHIN_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return list(yaml.safe_load_all(ended.stdout))


@functools.cache
def _kustomize() -> Sequence[str]:
    if shutil.which("kubectl"):
        return ("kubectl", "kustomize")
    assert shutil.which("go"), REASON
    subprocess.run(["go", "install", KUSTOMIZE], check=True, timeout=BUILT_WITHIN_S)
    found = subprocess.run(["go", "env", "GOBIN", "GOPATH"], check=True, capture_output=True, text=True)
    bin_folder, path = found.stdout.split("\n")[:2]
    return (str(Path(bin_folder or Path(path.split(os.pathsep)[0]) / "bin") / "kustomize"), "build")


def of_kind(resources: Sequence[Resource], *kinds: str) -> list[Resource]:
    return [one for one in resources if one["kind"] in kinds]


def named(resources: Sequence[Resource], kind: str, name: str) -> Resource:
    """Return the one resource of this kind and name."""
    (found,) = (one for one in of_kind(resources, kind) if one["metadata"]["name"] == name)
    return found


def pod_template(workload: Resource) -> Resource:
    spec = workload["spec"]
    return dict((spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"])


def containers(resources: Sequence[Resource]) -> Iterator[Container]:
    """Yield every container, those that run first before the others."""
    for workload in of_kind(resources, "StatefulSet", "Deployment", "Job", "CronJob"):
        pod = pod_template(workload)["spec"]
        for spec in pod.get("initContainers", []):
            yield Container(workload, pod, spec, is_init=True)
        for spec in pod["containers"]:
            yield Container(workload, pod, spec, is_init=False)


def programs(resources: Sequence[Resource]) -> list[Container]:
    """Return the containers of the image of Thalweg."""
    return [one for one in containers(resources) if not one.is_bundle]


def settings_of(resources: Sequence[Resource], container: Container) -> Settings:
    """Return the settings that a container loads, with a password that stands for each Secret. Raises SettingsError."""
    variables = environment(resources, container)
    files = [name for name in variables if name.endswith("_PASSWORD_FILE")]
    return load_settings(
        {name: value for name, value in variables.items() if name not in files}
        | {name.removesuffix("_FILE"): "of a Secret" for name in files}
    )


def environment(resources: Sequence[Resource], container: Container, pod_name: str = "pod-0") -> dict[str, str]:
    """Return the variables of a container, without those of Secrets. pod_name: stands for the name of the pod."""
    found: dict[str, str] = {}
    for source in container.spec.get("envFrom", []):
        if "configMapRef" in source:
            found |= named(resources, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.spec.get("env", []):
        if variable.get("valueFrom") == {"fieldRef": {"fieldPath": "metadata.name"}}:
            found[variable["name"]] = pod_name
        else:
            found[variable["name"]] = variable["value"]
    return found


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector with matchLabels and matchExpressions of the operator In selects these labels."""
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
