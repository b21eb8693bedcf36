"""The programs of docs/clients in Python, Node, Go and Java, ready to run."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CLIENTS = Path(__file__).parents[2] / "docs" / "clients"
TOOLS = {"python": [], "node": ["node", "npm"], "go": ["go"], "java": ["java", "mvn"]}
BUILT_WITHIN_S = 240.0
ENDED_WITHIN_S = 60.0


class Programs(NamedTuple):
    """Three programs in one language: the command of each, without arguments, by the name of the program."""

    commands: Mapping[str, Sequence[str]]

    def run(self, program: str, *arguments: str, given: str = "") -> str:
        """Run a program to its end with `given` as its input. Return what the program printed."""
        ended = subprocess.run(
            [*self.commands[program], *arguments],
            input=given,
            env=_environment(),
            capture_output=True,
            encoding="utf-8",
            timeout=ENDED_WITHIN_S,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    @contextmanager
    def following(self, program: str, *arguments: str, log: Path) -> Iterator[Callable[[], list[Any]]]:
        """Run a program that does not end, and stop it at the end. Yields a function that returns all lines so far."""
        with log.open("w") as output, log.with_suffix(".errors").open("w") as errors:
            command = [*self.commands[program], *arguments]
            running = subprocess.Popen(command, env=_environment(), stdout=output, stderr=errors)

        def lines() -> list[Any]:
            assert running.poll() is None, log.read_text() + log.with_suffix(".errors").read_text()
            return [json.loads(line) for line in log.read_text("utf-8").splitlines(True) if line.endswith("\n")]

        try:
            yield lines
        finally:
            running.kill()
            running.wait()


def missing_tools(language: str) -> list[str]:
    """Return the tools of the language that are not on the PATH."""
    return [tool for tool in TOOLS[language] if shutil.which(tool) is None]


def prepare(language: str, folder: Path) -> Programs:
    """Install the libraries that the manifest of the language names, and build the programs, below the folder."""
    copy = folder / language
    shutil.copytree(CLIENTS / language, copy, ignore=shutil.ignore_patterns("node_modules", "lib", "target"))
    if language == "python":
        return Programs({path.stem: (sys.executable, str(path)) for path in copy.glob("*.py")})
    if language == "node":
        _build(copy, "npm", "ci", "--no-audit", "--no-fund")
        return Programs({path.stem: ("node", str(path)) for path in copy.glob("*.js")})
    if language == "go":
        _build(copy, "go", "build", "-o", str(copy / "built") + "/", "./...")
        return Programs({path.name: (str(path),) for path in (copy / "built").iterdir()})
    _build(copy, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
    java = ("java", "-cp", str(copy / "lib" / "*"))
    return Programs({path.stem.lower(): (*java, str(path)) for path in copy.glob("*.java")})


def wait_for(lines: Callable[[], list[Any]], is_complete: Callable[[list[Any]], bool]) -> list[Any]:
    """Return the lines of a program as soon as they are complete."""
    deadline_s = time.monotonic() + ENDED_WITHIN_S
    while not is_complete(found := lines()):
        assert time.monotonic() < deadline_s, f"{len(found)} lines after {ENDED_WITHIN_S} s, the last: {found[-1:]}"
        time.sleep(0.1)
    return found


def _build(folder: Path, *command: str) -> None:
    ended = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=BUILT_WITHIN_S
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _environment() -> dict[str, str]:
    """Java 17 reads arguments and writes text in the encoding of the locale. Without cgo, Go builds in less time."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "CGO_ENABLED": "0"}
