"""The product from outside: its commands as child processes, and the local services that `thalweg up` starts."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parents[2]
PREFIX = "THALWEG_"
COMMAND = (sys.executable, "-m", "streams.cli")
COMMAND_LIMIT_S = 180.0
READY_LIMIT_S = 90.0
STOP_LIMIT_S = 30.0
POLL_S = 0.1
METRIC = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
PARTITION = re.compile(r'partition="(\d+)"')


class Finished(NamedTuple):
    """A command that has ended. exit_code is None where the command did not end within its limit."""

    exit_code: int | None
    stdout: str
    stderr: str

    def json(self) -> Any:
        """The JSON object on the last line. Raises ValueError with the output where there is none."""
        try:
            return json.loads(self.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            raise ValueError(f"no JSON on the last line; {self.words()}") from None

    def words(self) -> str:
        """The exit code and the end of the output, for a message."""
        return f"exit code {self.exit_code}, output {(self.stdout + self.stderr).strip()[-500:]!r}"


def run(arguments: Sequence[str], environment: Mapping[str, str], limit_s: float = COMMAND_LIMIT_S) -> Finished:
    """Run a command of the product to its end. A command that takes longer than the limit is killed."""
    command = [*COMMAND, *arguments]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        return Finished(None, _text(error.stdout), _text(error.stderr))
    return Finished(ended.returncode, ended.stdout, ended.stderr)


def clean_environment() -> dict[str, str]:
    """The environment without settings of the developer. Only the folder of downloaded programs is kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    if f"{PREFIX}CACHE" in os.environ:
        kept[f"{PREFIX}CACHE"] = os.environ[f"{PREFIX}CACHE"]
    return {**kept, "PYTHONPATH": str(ROOT)}


class Services(NamedTuple):
    """A local Kafka and a local Cassandra. environment: makes the product's commands find both."""

    broker: str
    cassandra: str
    environment: dict[str, str]


@contextlib.contextmanager
def local_services(folder: Path) -> Iterator[Services]:
    """Start the services with `thalweg up` in a folder of their own, and wipe them at the end."""
    environment = {**clean_environment(), f"{PREFIX}HOME": str(folder)}
    started = run(["up"], environment)
    try:
        if started.exit_code != 0:
            raise RuntimeError(f"`thalweg up` failed: {started.words()}")
        state = json.loads((folder / "local.json").read_text())
        yield Services(state["access"]["broker"], state["access"]["cassandra"], environment)
    finally:
        run(["down", "--wipe"], environment)


class Worker:
    """`thalweg worker` as a child process that can be started again."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._environment = {**environment, f"{PREFIX}HTTP_PORT": str(self._port)}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.exit_codes: list[int] = []  # of the processes that have ended
        self.is_supervised = False  # whether to start the worker again after an error

    def start(self) -> None:
        with self._open("stdout") as stdout, self._open("stderr") as stderr:
            self._process = subprocess.Popen(
                [*COMMAND, "worker"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    def restart_after_error(self) -> None:
        """Start a supervised worker again where it has ended with exit code 1, as systemd would."""
        if self.is_supervised and self._process is not None and self._process.poll() == 1:
            self.exit_codes.append(1)
            self.start()

    def is_ready(self) -> bool:
        return self._get("readyz") is not None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def by_partition(self, metric: str) -> dict[int, float] | None:
        """The values of a metric by partition; None where the worker does not answer."""
        text = self._get("metrics")
        if text is None:
            return None
        found = {}
        for match in METRIC.finditer(text):
            partition = PARTITION.search(match["labels"] or "")
            if match["name"] == metric and partition is not None:
                found[int(partition[1])] = float(match["value"])
        return found

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> tuple[int | None, float]:
        """Send SIGTERM. Returns the exit code and the seconds until the end.

        After STOP_LIMIT_S, the worker is killed and the exit code is None.
        """
        began_s = time.monotonic()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        code = self._wait()
        return code, time.monotonic() - began_s

    def words(self, stream: str) -> str:
        """What all processes of this worker wrote to `stdout` or `stderr`."""
        path = self._folder / stream
        return path.read_text(errors="replace") if path.exists() else ""

    def _wait(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return self.exit_codes[-1] if self.exit_codes else None
        try:
            self.exit_codes.append(process.wait(STOP_LIMIT_S))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
        return self.exit_codes[-1]

    def _open(self, stream: str) -> IO[bytes]:
        return (self._folder / stream).open("ab")

    def _get(self, page: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{page}", timeout=2.0) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return None


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
