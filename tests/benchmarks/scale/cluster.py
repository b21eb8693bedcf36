"""Measures 1, 2 and 4 workers on a Kafka and a Cassandra of three nodes each, and extrapolates to a larger machine.

`python -m tests.benchmarks.scale.cluster [--events N] [--json]`: the workers share a topic of four partitions, in which
the events to measure wait. Records and rows have three replicas. All processes share the cores of this machine. The
extrapolation assumes that an event costs as much CPU time on the larger machine as here with the most workers, and that
all cores are busy. The benchmark takes about eight minutes on two cores that are otherwise idle.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from streams.local import local_services
from tests.benchmarks.bench import load
from tests.benchmarks.scale.measured import Figures, measure
from tests.benchmarks.scale.plan import WINDOWED, Run

NODES, WORKERS = 3, (1, 2, 4)
USERS, ITEMS = 10_000, 10_000
CORES = 16  # of the larger machine
COSTS = ("cpu_us_per_event", "kafka_cpu_us_per_event", "cassandra_cpu_us_per_event")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale.cluster", description=__doc__)
    parser.add_argument("--events", type=int, default=800_000, help="events to measure with each number of workers")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    found: list[Figures] = []
    with (
        tempfile.TemporaryDirectory(prefix="thalweg-bench-") as temporary,
        local_services(nodes=NODES, long_running=True) as services,
    ):
        folder = Path(temporary)
        bundle = load.bundle(folder / "bundle", ITEMS, is_whole=True)
        for workers in WORKERS:
            run = Run(USERS, ITEMS, workers, (WINDOWED,))
            (figures,) = measure(services, bundle, run, args.events, 0.0, folder / str(workers))
            found.append(figures)
            costs = ", ".join(f"{name.removesuffix('_cpu_us_per_event')} {figures[name]:.1f}" for name in COSTS)
            print(f"{workers} workers: {figures['events_per_s']:,.0f} events/s; CPU us an event: {costs}", flush=True)
    us_per_event = sum(found[-1][name] for name in COSTS)
    extrapolated = CORES / us_per_event * 1e6
    print(
        f"{CORES} cores at {us_per_event:.1f} us an event: {extrapolated:,.0f} events/s ({os.cpu_count()} cores here)"
    )
    if args.json:
        print(json.dumps({"workers": found, "us_per_event": us_per_event, "extrapolated_events_per_s": extrapolated}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
