"""Thalweg beside what users would build instead, on the same services, events and machine.

`python -m tests.benchmarks.bench [--rounds N] [--only NAME ...] [--json]`. Everybody does the whole job for every event:
parse, look up the user's state, rank the item among 5,000, step a GRU of width 64, store, publish an evaluation event.
Progress is the growth of that output topic, watched from outside; CPU is what the processes used meanwhile.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from streams.local import local_services
from tests.benchmarks.bench import load
from tests.benchmarks.bench.contenders import Arena, Contender, plain_faust, rivals, run, thalweg

REST_S = 5.0  # for Cassandra to compact what the one before wrote


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--rivals", type=Path, default=Path(__file__).parents[4] / "shared" / "peers", metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, local_services() as services:
        work = Path(folder)
        bundle, whole = load.bundle(work / "bundle"), load.bundle(work / "whole", is_whole=True)
        arena = Arena(services, load.prepare(services, bundle.path, args.events), work)
        contenders: list[Contender] = [
            thalweg(arena, "thalweg", bundle, args.events // 4, args.events),
            thalweg(arena, "thalweg_whole", whole, args.events // 4, args.events),
            plain_faust(arena, bundle),
            *rivals(arena, args.rivals, lambda line: print(line, flush=True)),
        ]
        for turn in range(args.rounds):
            for contender in contenders:
                if args.only and contender.name not in args.only:
                    continue
                time.sleep(REST_S)
                figures = run(arena, contender, turn)
                found.setdefault(contender.name, []).append(figures)
                print(f"{contender.name:15} " + "  ".join(f"{k} {v:,.0f}" for k, v in figures.items()), flush=True)
    medians = {
        name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()
    }
    if args.json:
        print(json.dumps(medians))
    return 0


if __name__ == "__main__":
    sys.exit(main())
