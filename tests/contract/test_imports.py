"""Who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = (
    "encoder.metrics.heads",
    "encoder.metrics.leak",
    "encoder.metrics.ranking",
    "encoder.data.preparation",
    "encoder.metrics.time_mixture",
    "export.evaluation.bootstrap",
    "export.evaluation.freshness",
    "export.evaluation.heads",
    "export.evaluation.perturbation",
    "export.evaluation.report.plots",
    "export.evaluation.scored",
    "export.evaluation.report.sections",
    "export.evaluation.slices",
    "export.runtime.half",
    "streams.engine.arena",
    "streams.engine.codec",
    "streams.engine.epochs",
    "streams.contracts.behavior_events",
    "streams.contracts.dead_letters",
    "streams.contracts.evaluation_events",
    "streams.contracts.fields",
    "streams.contracts.metrics_events",
    "streams.contracts.representation_updates",
    "streams.demo.view",
    "streams.engine.device",
    "streams.commands.erased_letters",
    "streams.engine.foresight",
    "streams.monitor.baselines",
    "streams.monitor.dedup",
    "streams.monitor.head_tally",
    "streams.monitor.merge",
    "streams.monitor.scoreboard",
    "streams.monitor.windows",
    "streams.engine.planning.plan",
    "streams.engine.processor",
    "streams.store.batching",
    "streams.engine.planning.rows",
    "streams.store.cql_schema",
    "streams.engine.state_cell",
    "streams.engine.planning.waves",
)
CLOCK_AND_IO = {"asyncio", "time", "socket", "threading", "subprocess"}
IMPURE = CLOCK_AND_IO | {"faust", "aiokafka", "kafka", "cassandra", "onnxruntime"}
ONLY = {
    "faust": {
        "streams.worker.pipeline",
        "streams.worker.app",
        "streams.broker.transport",
        "streams.worker.command",
        "streams.monitor",
    },
    "onnxruntime": {"export"},
    "cassandra": {"streams.store.user_rows", "streams.commands.doctor", "streams.local", "tests"},
}


def modules(package: str) -> Iterator[tuple[str, set[str]]]:
    """Every module of a package with the names it imports anywhere in it."""
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
        yield name, imported


def within(name: str, parents: set[str]) -> bool:
    return any(name == parent or name.startswith(parent + ".") for parent in parents)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("encoder", {"streams", "export"}), ("export", {"streams"}), ("streams", {"torch", "export.graphs"})],
)
def test_packages_depend_in_one_direction(package: str, forbidden: set[str]) -> None:
    wrong = [(m, i) for m, imports in modules(package) for i in imports if within(i, forbidden)]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(ONLY))
def test_a_library_is_known_only_where_it_is_used(library: str) -> None:
    found = [m for p in ("streams", "encoder", "export") for m, imports in modules(p) if within_any(imports, library)]
    assert found, f"nothing imports {library}: is this rule still about something?"
    assert [m for m in found if not within(m, ONLY[library])] == []


def within_any(imports: set[str], library: str) -> bool:
    return any(within(name, {library}) for name in imports)


def test_pure_modules_do_no_io_and_know_no_clock() -> None:
    known = {name: imports for p in ("streams", "encoder", "export") for name, imports in modules(p)}
    assert [(m, i) for m in PURE for i in known[m] if within(i, IMPURE)] == []


@pytest.mark.parametrize(
    "loaded",
    ["streams.worker.command, streams.commands.verify", "export.evaluation.evaluation, export.evaluation.report"],
)
def test_what_runs_on_a_bundle_never_loads_torch(loaded: str) -> None:
    code = f"import sys, {loaded}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_worker_is_imported_where_onnxruntime_is_for_the_cpu_alone() -> None:
    """On a Mac and on ARM, its package lacks a name that the one for GPUs has."""
    code = (
        "import onnxruntime.capi.build_and_package_info as info; del info.cuda_version; import streams.worker.command"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "absent.jsonl", "--out", "never"], "cannot read the event log absent.jsonl"),
        (["evaluate", "absent", "absent.jsonl"], "no checkpoint at absent"),
        (["export", "absent", "--out", "never"], "no checkpoint at absent"),
    ],
)
def test_what_is_missing_is_named_before_torch_is_loaded(arguments: list[str], named: str) -> None:
    code = "import sys; from streams.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "1 False\n"
    assert named in ended.stderr
