"""`python -m tests.referee`: run the scenarios, and print what was lost, applied twice or different."""

import argparse
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.referee import scenarios
from tests.referee.judgement import SCORE_TOLERANCE
from tests.referee.model import Model
from tests.referee.product import PREFIX, ROOT, local_services
from tests.referee.registry import SCENARIOS, SIZES, names
from tests.referee.trial import Connections, Result, run_scenario

assert scenarios.__all__, "the import registers the scenarios"
BUNDLES = (ROOT / "streams/demo/bundle", ROOT / "tests/e2e/before_rooms/bundle")
PRODUCT = ("streams", "export", "encoder")
COLUMNS = ("scenario", "records", "applied", "lost", "twice", "differing states", "s", "result")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.referee", description=__doc__)
    parser.add_argument("--scale", choices=list(SIZES), default="small")
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=names(), help="run only this one; can be repeated"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logs", type=Path, help="keep the workers' logs in this folder (default: a temporary one)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # The services are then stopped too.
    for name in [name for name in os.environ if name.startswith(PREFIX) and name != f"{PREFIX}CACHE"]:
        del os.environ[name]
    for library in ("kafka", "cassandra"):  # Both log each try while a service is paused.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    console = Console(width=None if sys.stdout.isatty() else 160)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="thalweg-referee-") as scratch, local_services(Path(scratch)) as services:
        connections = Connections(services, [Model(folder, SCORE_TOLERANCE) for folder in BUNDLES])
        logs = (args.logs or Path(scratch) / "logs").absolute()
        for name in args.only or names():
            result = run_scenario(SCENARIOS[name], args.scale, connections, logs, args.seed)
            results.append(result)
            console.print(f"{name}: {_verdict(result)} in {result.elapsed_s:.0f} s", highlight=False)
            for problem in result.problems:
                console.print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
        connections.rows.close()
    console.print(_table(results))
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] in PRODUCT)
    if loaded:
        console.print(f"the referee has loaded modules of the product: {', '.join(loaded)}", highlight=False)
    return 1 if loaded or any(result.problems for result in results) else 0


def _verdict(result: Result) -> str:
    return "failed" if result.problems else "passed"


def _table(results: list[Result]) -> Table:
    table = Table(*COLUMNS)
    for one in results:
        counts = (one.records, one.applied, one.lost, one.twice, one.differing)
        table.add_row(one.name, *(f"{count:,}" for count in counts), f"{one.elapsed_s:.0f}", _verdict(one))
    return table


if __name__ == "__main__":
    sys.exit(main())
