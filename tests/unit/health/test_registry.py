"""Registries export no times of creation, unless somebody asks for them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOW = """
from prometheus_client import Counter, Histogram, generate_latest
from streams.health.registry import new_registry
registry = new_registry()
Counter("c", "C.", registry=registry).inc()
Histogram("h", "H.", registry=registry).observe(1)
print(generate_latest(registry).decode())
"""


def exported(**variables: str) -> set[str]:
    """Return the names of the series of a new process with these variables."""
    shown = subprocess.run([sys.executable, "-c", SHOW], env=variables, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    return {line.split("{")[0].split()[0] for line in shown.stdout.splitlines() if line and line[0] != "#"}


def test_times_of_creation_are_exported_on_request_alone() -> None:
    assert {"c_total", "h_bucket", "h_count", "h_sum"} <= (plain := exported())
    assert not any(name.endswith("_created") for name in plain)
    assert exported(PROMETHEUS_DISABLE_CREATED_SERIES="false") - plain == {"c_created", "h_created"}


@pytest.mark.skipif(sys.platform != "linux", reason="the figures of a process come from /proc")
def test_a_registry_has_the_figures_of_its_process() -> None:
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"} <= exported()


def test_every_registry_is_made_by_this_module() -> None:
    """A registry of its own would export times of creation where nothing else has turned them off."""
    makers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "streams").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CollectorRegistry"
    }
    assert makers == {"streams/health/registry.py"}
