"""`python -m tests.faults`: run the scenarios and print what was lost or applied twice, and how long recovery took."""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from streams.config.settings import PREFIX
from streams.local import local_services
from tests.faults import scenarios
from tests.faults.registry import SCENARIOS
from tests.faults.trial import Row, run_scenario
from tests.support.bundles import tiny_bundle

assert scenarios.__all__, "the import registers the scenarios"
COLUMNS = ("scenario", "faults", "events", "lost", "applied twice", "recovery s", "evaluated again", "lives", "s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--scale", choices=["small", "long"], default="small")
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=list(SCENARIOS), help="run only this one; can be repeated"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--logs", type=Path, help="keep the workers' logs in this folder (default: a temporary one)")
    args = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(PREFIX) and name != f"{PREFIX}CACHE"]:
        del os.environ[name]  # the developer's settings must not reach a worker
    for library in ("aiokafka", "kafka", "cassandra"):  # they log each retry while a service is down
        logging.getLogger(library).setLevel(logging.CRITICAL)
    console = Console(width=None if sys.stdout.isatty() else 160)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="thalweg-faults-") as scratch, local_services() as services:
        folder = (args.logs or Path(scratch) / "logs").absolute()
        bundle = tiny_bundle(Path(scratch) / "bundle")
        for name in args.only or SCENARIOS:
            row = run_scenario(SCENARIOS[name], args.scale, services, bundle, folder, args.seed)
            rows.append(row)
            console.print(f"{name}: {'failed' if row.problems else 'passed'} in {row.elapsed_s:.0f} s", highlight=False)
            for problem in row.problems:
                console.print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
    console.print(_table(rows))
    if args.json:
        print(msgspec.json.encode(_object(rows, args)).decode())
    return 1 if any(row.problems for row in rows) else 0


def _table(rows: list[Row]) -> Table:
    table = Table(*COLUMNS)
    for row in rows:
        recovery = "-" if row.recovery_s is None else f"{row.recovery_s:.1f}"
        lost, double = ("?" if n is None else f"{n:,}" for n in (row.lost, row.double_applied))
        table.add_row(
            row.name + (" (failed)" if row.problems else ""),
            *(f"{row.faults:,}", f"{row.events:,}", lost, double, recovery),
            *(f"{row.evaluated_again:,}", str(row.lives), f"{row.elapsed_s:.0f}"),
        )
    return table


def _object(rows: list[Row], args: argparse.Namespace) -> dict[str, object]:
    fields = ("name", "faults", "events", "lost", "double_applied", "recovery_s", "evaluated_again")
    return {
        "scenarios": [{field: getattr(row, field) for field in fields} for row in rows],
        "seed": args.seed,
        "scale": args.scale,
    }


if __name__ == "__main__":
    sys.exit(main())
