"""Containers of docker/kubernetes as processes of this machine, with a root file system that they cannot write.

A container gets its own arguments, variables and volumes. The addresses of the services, the ports, and the folders in
which volumes are mounted are other ones than in a cluster. The process runs as the user of the test, and its temporary
files are below TMPDIR.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from streams.demo.scraped_metrics import ScrapedMetrics
from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess
from tests.tools.docker.manifests import Container, Resource, environment

ENDED_WITHIN_S = 60.0
REQUEST_LIMIT_S = 2.0
# Mounts are private to the process. The volumes stay writable, because each of them becomes a mount of its own.
READ_ONLY = """
mount --bind "$POD" "$POD"
IFS=:
for folder in $WRITABLE; do mount --bind "$folder" "$folder"; done
mount -o remount,bind,ro "$POD"
mount -o remount,bind,ro /
for folder in "$HOME" "$PACKAGES"; do
  if touch "$folder/written" 2>/dev/null; then echo "$folder can be written"; exit 99; fi
done
unset IFS POD WRITABLE PACKAGES
cd "$HOME"
exec "$@"
"""


def read_only(command: Sequence[str]) -> list[str]:
    """Return the command of a process that sees a read-only root file system."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_root, "--mount", "sh", "-ec", READ_ONLY, "sh", *command]


class Pods:
    """Starts containers of one overlay."""

    def __init__(
        self,
        resources: Sequence[Resource],
        folder: Path,
        addresses: Mapping[str, str],
        secrets: Mapping[str, Mapping[str, str]],
        bundle: Path,
    ) -> None:
        """folder: takes what the pods keep. addresses: those of the services, by the addresses of the manifests.
        secrets: the files of each Secret. bundle: what the image of the bundle holds.
        """
        self._resources = resources
        self._folder = folder
        self._addresses = addresses
        self._secrets = secrets
        self._bundle = bundle

    def run(
        self, container: Container, arguments: Sequence[str] | None = None, ordinal: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end. arguments: in place of its own, with paths of this machine.

        ordinal: of the pod, which the names of a StatefulSet's pods end with.
        """
        command, variables = self._prepare(container, arguments, ordinal)
        return subprocess.run(
            read_only(command), env=variables, capture_output=True, text=True, timeout=ENDED_WITHIN_S, check=False
        )

    def start(self, container: Container, ordinal: int = 0) -> "RunningContainer":
        """Start a container that listens, and wait until its probe of the start succeeds."""
        command, variables = self._prepare(container, None, ordinal)
        port = free_ports(["http"])["http"]
        if "--port" in command:
            command[command.index("--port") + 1] = str(port)
            command[command.index("--host") + 1] = HOST
        else:
            variables |= {"THALWEG_HTTP_HOST": HOST, "THALWEG_HTTP_PORT": str(port)}
        log = self._pod_folder(container, ordinal) / f"{container.spec['name']}.log"
        running = RunningContainer(container, port, read_only(command), variables, log)
        running.start()
        return running

    def _pod_folder(self, container: Container, ordinal: int) -> Path:
        return self._folder / f"{container.workload['metadata']['name']}-{ordinal}"

    def _prepare(
        self, container: Container, arguments: Sequence[str] | None, ordinal: int
    ) -> tuple[list[str], dict[str, str]]:
        """Make the volumes of a pod. Return the command and the variables of the container."""
        pod = self._pod_folder(container, ordinal)
        home = pod / "home"
        home.mkdir(parents=True, exist_ok=True)
        mounts = {mount["mountPath"]: pod / "volumes" / mount["name"] for mount in container.spec["volumeMounts"]}
        for path in mounts.values():
            path.mkdir(parents=True, exist_ok=True)
        for volume in container.pod["volumes"]:
            if "secret" in volume and volume["name"] in {path.name for path in mounts.values()}:
                for key, text in self._secrets[volume["secret"]["secretName"]].items():
                    (pod / "volumes" / volume["name"] / key).write_text(text)
        here = {path: str(folder) for path, folder in mounts.items()}
        variables = {
            name: self._addresses.get(value, _moved(value, here))
            for name, value in environment(self._resources, container, pod.name).items()
        }
        if container.is_bundle:
            here |= {"/bundle": str(self._bundle)}
            script = re.sub(r"(?<= )/(bundle|target)(?=/)", lambda found: here[found[0]], container.spec["command"][-1])
            command = [*container.spec["command"][:-1], script]
        else:
            own = [_moved(value, here) for value in container.spec["args"]]
            command = [sys.executable, "-m", "streams.cli", *(own if arguments is None else arguments)]
        writable = [mounts[one["mountPath"]] for one in container.spec["volumeMounts"] if not one.get("readOnly")]
        return command, {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(home),
            "TMPDIR": str(mounts.get("/tmp", home)),
            "POD": str(pod),
            "WRITABLE": ":".join(map(str, writable)),
            "PACKAGES": str(Path(httpx.__file__).parents[1]),
            **variables,
        }


class RunningContainer(ServiceProcess):
    """A container that runs, and its probes."""

    def __init__(
        self, container: Container, port: int, command: list[str], variables: dict[str, str], log: Path
    ) -> None:
        self.spec = container.spec
        self.grace_s = float(container.pod["terminationGracePeriodSeconds"])
        self.client = httpx.Client(base_url=f"http://{HOST}:{port}", timeout=REQUEST_LIMIT_S)
        super().__init__(
            name=container.label,
            address=f"{HOST}:{port}",
            command=command,
            log=log,
            is_ready=lambda: self.succeeds("startupProbe"),
            environment=variables,
            ends_with_parent=True,
        )

    def scrape(self) -> ScrapedMetrics:
        return ScrapedMetrics(self.client.get("/metrics").text)

    def succeeds(self, probe: str) -> bool:
        """Whether a probe of the container succeeds now."""
        try:
            return self.client.get(self.spec[probe]["httpGet"]["path"]).is_success
        except httpx.TransportError:
            return False


def missing_program() -> str | None:
    """Return why containers cannot be started here, or None."""
    if shutil.which("unshare") is None:
        return "no unshare on the PATH, which gives a process a read-only root file system"
    ended = subprocess.run(read_only(["true"]), env=_probe_variables(), capture_output=True, text=True, check=False)
    return None if ended.returncode == 0 else f"a process cannot have mounts of its own here: {ended.stderr.strip()}"


def _probe_variables() -> dict[str, str]:
    root = str(Path(__file__).parent)
    return {"PATH": os.environ["PATH"], "POD": root, "HOME": root, "PACKAGES": root, "WRITABLE": root}


def _moved(value: Any, here: Mapping[str, str]) -> str:
    """A path below a mount, as it is on this machine. Other values stay as they are."""
    text = str(value)
    for path, folder in here.items():
        if text == path or text.startswith(f"{path}/"):
            return folder + text[len(path) :]
    return text
