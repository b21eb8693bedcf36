"""Measures throughput, CPU time and memory by the number of users, of items and of workers.

`python -m tests.benchmarks.scale [--users N ...] [--items N ...] [--events N] [--json]`: each user has one event, which
the workers apply first. Then the workers are paused until the events to measure wait in the topic. Their users are
drawn in two ways. With a uniform draw from all users, a cache cannot help. With a draw from a moving window of 5,000
active users, a row is written for the same number of events for any number of users, so that the figures show the cost
of having more users. The model has all parts that training adds by default. The number of users varies with the first
number of items, and the number of items with the first number of users. A topic is read by one worker, and by two
workers that share its partitions. With large catalogues only a sample of events is evaluated, so that an event costs
as many scores as with 10,000 items. The whole benchmark takes about twenty minutes on two cores that are otherwise
idle.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from export.runtime.bundle import Bundle
from streams.local import local_services
from tests.benchmarks.bench import load
from tests.benchmarks.scale.measured import Figures, first_start, measure, rank_ms, ratios
from tests.benchmarks.scale.plan import estimate_s, runs

FIRST_COLUMNS = {
    "items": "{:,.0f}",
    "rank_ms": "{:.3f}",
    "first_confirmed_s": "{:.1f}",
    "vectors_per_s": "{:,.0f}",
    "events_per_s_beside": "{:,.0f}",
    "empty_worker_mb": "{:,.0f}",
}
COLUMNS = {
    "users": "{:,.0f}",
    "items": "{:,.0f}",
    "workers": "{:.0f}",
    "draw": "{}",
    "evaluation_share": "{:.4g}",
    "events": "{:,.0f}",
    "events_per_s": "{:,.0f}",
    "cpu_us_per_event": "{:.0f}",
    "kafka_cpu_us_per_event": "{:.0f}",
    "cassandra_cpu_us_per_event": "{:.0f}",
    "rows_per_event": "{:.2f}",
    "users_in_memory": "{:,.0f}",
    "rss_mb": "{:,.0f}",
    "bytes_per_user": "{:,.0f}",
    "times_its_vectors": "{:.2f}",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--events",
        type=int,
        default=800_000,
        help="events to measure in each stretch; with few events the figures are inexact",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    planned = list(runs(args.users, args.items))
    print(f"{len(planned)} topics: about {estimate_s(planned, args.events) / 60:.0f} minutes on two quiet cores")
    began_s = time.monotonic()
    starts: dict[int, Figures] = {}
    found: list[Figures] = []
    with (
        tempfile.TemporaryDirectory(prefix="thalweg-bench-") as temporary,
        local_services(long_running=True) as services,
    ):
        folder, bundles = Path(temporary), dict[int, Bundle]()
        print(" | ".join(FIRST_COLUMNS), flush=True)
        for items in dict.fromkeys(run.items for run in planned):
            bundles[items] = load.bundle(folder / f"bundle-{items}", items, is_whole=True)
            starts[items] = first_start(services, bundles[items], args.users[0], folder / f"first-{items}")
            starts[items]["rank_ms"] = rank_ms(bundles[items])
            _print(starts[items], FIRST_COLUMNS)
        print(" | ".join(COLUMNS), flush=True)
        for number, run in enumerate(planned):
            empty_mb = starts[run.items]["empty_worker_mb"]
            for figures in measure(services, bundles[run.items], run, args.events, empty_mb, folder / str(number)):
                found.append(figures)
                _print(figures, COLUMNS)
    for line in ratios(found):
        print(line)
    print(f"took {(time.monotonic() - began_s) / 60:.1f} minutes")
    if args.json:
        print(json.dumps({"first_starts": list(starts.values()), "scale": found}))
    return 0


def _print(figures: Figures, columns: dict[str, str]) -> None:
    values = [(figures[name], form) for name, form in columns.items()]
    print(" | ".join("-" if value is None else form.format(value) for value, form in values), flush=True)


if __name__ == "__main__":
    sys.exit(main())
