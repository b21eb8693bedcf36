"""The schemas of custom resources, from the published sources of the operators that read the resources.

The sources are Go modules, which `go mod download` takes from Go's proxy into Go's cache. Each module has a pinned sum.
"""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

# By group and kind: the module with its version, its sum, and the file of the definition
KEDA = ("github.com/kedacore/keda/v2@v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=")
PROMETHEUS = (
    "github.com/prometheus-operator/prometheus-operator@v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
)
FILES = {
    "ScaledObject": (*KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (*KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    "ServiceMonitor": (*PROMETHEUS, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
    "PrometheusRule": (*PROMETHEUS, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
}
DOWNLOADED_WITHIN_S = 180.0
MAY_SKIP = shutil.which("go") is None and os.environ.get("CI") != "true"
REASON = "no go on the PATH, which downloads the schemas of custom resources"


def schema(kind: str, version: str) -> dict[str, Any]:
    """Return the schema of a kind as JSON Schema that takes no unknown fields."""
    module, module_sum, file = FILES[kind]
    definition = yaml.safe_load((_downloaded(module, module_sum) / file).read_text())
    assert definition["spec"]["names"]["kind"] == kind
    (found,) = (one["schema"]["openAPIV3Schema"] for one in definition["spec"]["versions"] if one["name"] == version)
    return dict(closed(found))


def closed(schema: Any) -> Any:
    """Return the schema of a definition, in which no object takes properties that the schema does not name.

    A cluster drops such properties from what is applied, and kubectl then reports them.
    """
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("pattern"), str):  # Go takes a flag anywhere, and Python at the beginning.
        parts["pattern"] = schema["pattern"].replace("^(?i)", "(?i)^")
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        parts.setdefault("additionalProperties", False)
    return parts


@functools.cache
def _downloaded(module: str, module_sum: str) -> Path:
    command = ["go", "mod", "download", "-json", module]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOADED_WITHIN_S, cwd="/", check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["Sum"] == module_sum, f"{module} has the sum {answer['Sum']}, not the pinned one"
    return Path(answer["Dir"])
