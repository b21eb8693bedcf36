"""Rules about imports that import-linter cannot express. `lint-imports` holds the others: see pyproject.toml."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported_modules(path: Path) -> set[str]:
    """Return the names of all modules that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_file_imports_a_test_file() -> None:
    """What several test files share lies in tests/support."""
    found = [
        (str(path.relative_to(ROOT)), module)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for module in sorted(imported_modules(path))
        if any(part.startswith("test_") or part == "conftest" for part in module.split("."))
    ]
    assert found == []


def test_the_referee_imports_nothing_of_the_product() -> None:
    """The referee would otherwise repeat a fault of the product instead of finding the fault."""
    found = [
        (str(path.relative_to(ROOT)), module)
        for path in sorted((ROOT / "tests/referee").rglob("*.py"))
        for module in sorted(imported_modules(path))
        if is_of_the_product(module) or (module.startswith("tests.") and module.split(".")[1] != "referee")
    ]
    assert found == []


def test_the_referee_loads_nothing_of_the_product() -> None:
    """The modules that the referee imports must not import the product either."""
    ended = python("import sys, tests.referee.__main__; print('\\n'.join(sys.modules))")
    assert ended.returncode == 0, ended.stderr
    assert "tests.referee.trial" in ended.stdout.splitlines()
    assert [module for module in ended.stdout.splitlines() if is_of_the_product(module)] == []


def is_of_the_product(module: str) -> bool:
    return module.split(".")[0] in ("encoder", "export", "streams") or module.startswith("tests.support")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python process, so that only the modules that the code imports are loaded."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "modules",
    [
        "streams.worker.command, streams.commands.verify.command",
        "export.evaluation.bundle_evaluation, export.evaluation.report",
    ],
)
def test_modules_that_run_on_a_bundle_never_load_torch(modules: str) -> None:
    ended = python(f"import sys, {modules}; print('torch' in sys.modules)")
    assert ended.stdout == "False\n", ended.stderr


@pytest.mark.parametrize("module", ["streams.worker.command", "tests.tools.gpu_check"])
def test_a_program_writes_no_telemetry_id_of_onnxruntime(module: str, tmp_path: Path) -> None:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    ended = subprocess.run(
        [sys.executable, "-c", f"import {module}"], cwd=ROOT, env={**kept, "HOME": str(tmp_path)}, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["streams.local.jvm.write_jar_lock", "streams.contracts.generate"])
def test_a_program_that_writes_files_shows_its_help_and_does_nothing_else(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: python -m {module}")


def test_a_worker_can_be_imported_with_the_cpu_package_of_onnxruntime() -> None:
    """On a Mac and on ARM, ONNX Runtime has no `cuda_version`. The package for GPUs has one."""
    ended = python(
        "import onnxruntime.capi.build_and_package_info as info; del info.cuda_version; import streams.worker.command"
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "absent.jsonl", "--out", "never"], "cannot read the event log absent.jsonl"),
        (["evaluate", "absent", "absent.jsonl"], "no checkpoint at absent"),
        (["export", "absent", "--out", "never"], "no checkpoint at absent"),
    ],
)
def test_a_command_names_a_missing_file_before_it_loads_torch(arguments: list[str], message: str) -> None:
    code = "import sys; from streams.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    ended = python(code, *arguments)
    assert ended.stdout == "1 False\n"
    assert message in ended.stderr
