"""`python -m tests.faults`: run the scenarios and print what was lost or applied twice, and how long recovery took.

The scenarios of the referee (`tests.referee`) follow in a process of their own, which loads nothing of the product.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from streams.config.settings import PREFIX
from streams.local import local_services
from streams.local.nodes import NODE_COUNTS
from tests.faults import scenarios
from tests.faults.registry import SCENARIOS
from tests.faults.trial import Row, run_scenario
from tests.referee import scenarios as referee_scenarios
from tests.referee.registry import names as referee_names
from tests.support.bundles import tiny_bundle

assert scenarios.__all__, "the import registers the scenarios"
assert referee_scenarios.__all__, "the import registers the scenarios of the referee"
STANDSTILL_LIMIT_S = 10.0  # of a partition in a cluster of which only single nodes are away
ROOT = Path(__file__).parents[2]
COLUMNS = (
    *("scenario", "faults", "events", "lost", "applied twice", "recovery s", "standstill s"),
    *("evaluated again", "lives", "s"),
)
COLUMNS_OF_READERS = ("reads", "failed", "slowest s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--scale", choices=["small", "long"], default="small")
    parser.add_argument(
        "--nodes",
        type=int,
        choices=NODE_COUNTS,
        default=1,
        help="run the scenarios of a Kafka and a Cassandra of so many nodes (default: 1)",
    )
    names = [*SCENARIOS, *referee_names()]
    parser.add_argument("--only", metavar="NAME", action="append", choices=names, help="run only this; can be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--logs", type=Path, help="keep the workers' logs in this folder (default: a temporary one)")
    args = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(PREFIX) and name != f"{PREFIX}CACHE"]:
        del os.environ[name]  # the developer's settings must not reach a worker
    for library in ("aiokafka", "kafka", "cassandra"):  # they log each retry while a service is down
        logging.getLogger(library).setLevel(logging.CRITICAL)
    console = Console(width=None if sys.stdout.isatty() else 160)
    chosen = [name for name in args.only or names if _nodes_of(name) == args.nodes]
    if not chosen:
        parser.error(f"no chosen scenario runs with --nodes {args.nodes}")
    rows = _run(console, [name for name in chosen if name in SCENARIOS], args)
    has_referee_failed = _run_referee([name for name in chosen if name not in SCENARIOS], args)
    if args.json:
        print(msgspec.json.encode(_object(rows, args)).decode())
    return 1 if has_referee_failed or any(row.problems for row in rows) else 0


def _nodes_of(name: str) -> int:
    """The referee starts the services itself, with one node each."""
    return SCENARIOS[name].nodes if name in SCENARIOS else 1


def _run(console: Console, names: list[str], args: argparse.Namespace) -> list[Row]:
    """Run scenarios of this package, and print the table of their results."""
    rows: list[Row] = []
    if not names:
        return rows
    with (
        tempfile.TemporaryDirectory(prefix="thalweg-faults-") as scratch,
        local_services(nodes=args.nodes) as services,
    ):
        folder = (args.logs or Path(scratch) / "logs").absolute()
        bundle = tiny_bundle(Path(scratch) / "bundle")
        for name in names:
            row = run_scenario(SCENARIOS[name], args.scale, services, bundle, folder, args.seed)
            row.problems += judgement(row, args.nodes)
            rows.append(row)
            result = "failed" if row.problems else "skipped" if row.skipped else "passed"
            console.print(
                f"{name}: {result} in {row.elapsed_s:.0f} s, {_figures(row)}", highlight=False, soft_wrap=True
            )
            if row.skipped:
                console.print(f"  {row.skipped}", highlight=False, markup=False, soft_wrap=True)
            for problem in row.problems:
                console.print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
    console.print(_table(rows))
    return rows


def judgement(row: Row, nodes: int) -> list[str]:
    """What is wrong with the figures of a scenario, as of a machine that does nothing else."""
    if nodes == 1 or row.skipped:
        return []
    problems = []
    if row.keeps_quorum and row.standstill_s is not None and row.standstill_s > STANDSTILL_LIMIT_S:
        problems.append(f"a partition stood still for {row.standstill_s:.1f} s, more than {STANDSTILL_LIMIT_S:.0f} s")
    if not row.reads:
        problems.append("no reader asked the server")
    return problems


def _run_referee(names: list[str], args: argparse.Namespace) -> bool:
    """Run scenarios of the referee in a process of its own. Returns True where one of them failed."""
    if not names:
        return False
    command = [sys.executable, "-m", "tests.referee", "--scale", args.scale, "--seed", str(args.seed)]
    command += [argument for name in names for argument in ("--only", name)]
    command += [] if args.logs is None else ["--logs", str(args.logs)]
    sys.stdout.flush()
    return subprocess.run(command, cwd=ROOT, check=False).returncode != 0


def _table(rows: list[Row]) -> Table:
    has_readers = any(row.reads is not None for row in rows)
    table = Table(*COLUMNS, *(COLUMNS_OF_READERS if has_readers else ()))
    for row in (row for row in rows if not row.skipped):
        recovery, standstill = (
            "-" if length_s is None else f"{length_s:.1f}" for length_s in (row.recovery_s, row.standstill_s)
        )
        lost, double = ("?" if n is None else f"{n:,}" for n in (row.lost, row.double_applied))
        table.add_row(
            row.name + (" (failed)" if row.problems else ""),
            *(f"{row.faults:,}", f"{row.events:,}", lost, double, recovery, standstill),
            *(f"{row.evaluated_again:,}", str(row.lives), f"{row.elapsed_s:.0f}"),
            *(_readers(row) if has_readers else ()),
        )
    return table


def _figures(row: Row) -> str:
    """The figures of a scenario, which a failure of a later one must not take away."""
    figures = {
        "faults": row.faults,
        "events": row.events,
        "lost": row.lost,
        "applied twice": row.double_applied,
        "standstill s": row.standstill_s,
        "reads": row.reads,
        "failed reads": row.failed_reads,
        "slowest read s": row.slowest_read_s,
    }
    shown = {
        name: f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
        for name, value in figures.items()
        if value is not None
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _readers(row: Row) -> tuple[str, ...]:
    if row.reads is None:
        return ("-",) * len(COLUMNS_OF_READERS)
    return f"{row.reads:,}", f"{row.failed_reads:,}", f"{row.slowest_read_s:.1f}"


def _object(rows: list[Row], args: argparse.Namespace) -> dict[str, object]:
    fields = (
        *("name", "faults", "events", "lost", "double_applied", "recovery_s", "standstill_s", "keeps_quorum"),
        *("evaluated_again", "reads", "failed_reads", "slowest_read_s"),
    )
    return {
        "scenarios": [{field: getattr(row, field) for field in fields} for row in rows if not row.skipped],
        "skipped": {row.name: row.skipped for row in rows if row.skipped},
        "seed": args.seed,
        "scale": args.scale,
        "nodes": args.nodes,
    }


if __name__ == "__main__":
    sys.exit(main())
