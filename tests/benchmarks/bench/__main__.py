"""Compares Thalweg with what users would build instead, on the same services, events and machine.

`make bench` (ARGS=--json, --quick, --rounds N, --only NAME ..., --rivals DIR, --plot FILE.svg). Each contender does the
whole job for each event: parse it, look up the user's state, rank the item among 5,000, step a GRU of width 64, store
the state and publish an evaluation event. The contenders take turns on the same Kafka and Cassandra. The benchmark
measures their progress from outside, as the growth of the output topic, and the CPU time that their processes use.
`thalweg_whole` is the model that `thalweg train` makes by default, with traces and with heads that are scored.
`thalweg_gpu` keeps its states on the GPU, if there is one.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from export.runtime.bundle import Bundle
from export.runtime.providers import cuda_failure
from streams.local import local_services
from tests.benchmarks.bench import load
from tests.benchmarks.bench.contenders import Contender, Testbed, plain_faust, rivals, run, thalweg
from tests.benchmarks.bench.floor import floor
from tests.benchmarks.bench.freshness import freshness
from tests.benchmarks.bench.plot import svg
from tests.benchmarks.bench.watch import calm

RIVALS = Path(os.environ.get("BENCH_RIVALS", Path(__file__).parents[4] / "shared" / "peers"))
NAMES = {
    "thalweg": "Thalweg",
    "thalweg_whole": "Thalweg, default model",
    "thalweg_gpu": "Thalweg, on the GPU",
    "kstreams": "Kafka Streams, micro-batches",
    "kstreams_event": "Kafka Streams, one by one",
    "bytewax": "Bytewax",
    "quix": "Quix Streams",
    "plain_faust": "plain Faust",
}
Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_200_000)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=NAMES, help=f"run only these of {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--rivals",
        type=Path,
        default=RIVALS,
        metavar="DIR",
        help="folder of the rivals' programs (default: BENCH_RIVALS in the environment)",
    )
    parser.add_argument("--quick", action="store_true", help="one round of Thalweg and plain Faust, fewer events")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.events, args.only = 1, 400_000, args.only or ["thalweg", "plain_faust"]
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, local_services(long_running=True) as services:
        work, seconds = Path(folder), 5.0 if args.quick else 20.0
        bundle, whole = load.bundle(work / "bundle"), load.bundle(work / "whole", is_whole=True)
        testbed = Testbed(services, load.prepare(services, bundle.path, args.events), work)
        bundles = {"thalweg": bundle, "thalweg_whole": whole}
        failure = cuda_failure()
        if failure is not None:
            print(f"thalweg_gpu is left out: {failure or 'there is no GPU here'}", flush=True)
        else:
            bundles["thalweg_gpu"] = load.bundle(work / "gpu", for_gpu=True)
        contenders = [
            *(thalweg(testbed, name, each, args.events // 4, args.events) for name, each in bundles.items()),
            plain_faust(testbed, bundle),
            *rivals(testbed, args.rivals, lambda line: print(line, flush=True)),
        ]
        chosen = [contender for contender in contenders if not args.only or contender.name in args.only]
        if not chosen:
            parser.error(f"none of {', '.join(args.only)} can run here")
        result = _summary(_rounds(testbed, chosen, args.rounds))
        if "thalweg" in result:
            result |= _limits(testbed, bundle, result["thalweg"], seconds)
        if "thalweg_gpu" in result:
            result["gpu_freshness_ms"] = _by_load(testbed, bundles["thalweg_gpu"], result["thalweg_gpu"], seconds)
    if args.plot is not None:
        args.plot.write_text(svg({name: result[name]["events_per_s"] for name in NAMES if name in result}, NAMES))
    if args.json:
        print(json.dumps(result))
    return 0


def _rounds(testbed: Testbed, contenders: list[Contender], rounds: int) -> dict[str, list[Figures]]:
    """Return the figures of all runs. A run that fails is left out, and the reason is printed."""
    found: dict[str, list[Figures]] = {}
    for turn in range(rounds):
        for contender in contenders:
            try:
                figures = run(testbed, contender, turn)
            except TimeoutError as error:
                print(error, flush=True)
                continue
            found.setdefault(contender.name, []).append(figures)
            print(f"{NAMES[contender.name]:28} {_shown(figures)}", flush=True)
    return found


def _summary(found: dict[str, list[Figures]]) -> dict[str, Any]:
    """Return the medians of each contender's figures, the spread of its rate, and Thalweg's rate relative to others."""
    result: dict[str, Any] = {}
    print(f"\nmedian of {max(map(len, found.values()), default=0)}")
    for name, runs in found.items():
        rates = [one["events_per_s"] for one in runs]
        medians = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        result[name] = {**medians, "events_per_s_spread": [min(rates), max(rates)]}
        print(f"{NAMES[name]:28} {_shown(medians)}  ({min(rates):,.0f} to {max(rates):,.0f})")
    if "thalweg" in result:
        own = result["thalweg"]["events_per_s"]
        result["ratio"] = {name: own / result[name]["events_per_s"] for name in found if name != "thalweg"}
        if result["ratio"]:
            print(
                "Thalweg is " + ", ".join(f"{ratio:.2f} times {NAMES[name]}" for name, ratio in result["ratio"].items())
            )
    return result


def _limits(testbed: Testbed, bundle: Bundle, own: Figures, seconds: float) -> dict[str, Any]:
    """Return the floor of Thalweg's CPU time, and freshness by load."""
    parts = floor(testbed.settings, bundle, own["rows_per_event"])
    share = parts["sum"] / own["cpu_us_per_event"]
    print("floor, us CPU an event: " + ", ".join(f"{part} {us:.1f}" for part, us in parts.items()))
    print(f"the floor is {share:.2f} of what Thalweg uses")
    return {
        "floor_us_per_event": parts,
        "floor_share": share,
        "freshness_ms": _by_load(testbed, bundle, own, seconds),
    }


def _by_load(testbed: Testbed, bundle: Bundle, own: Figures, seconds: float) -> dict[str, Figures]:
    """Return freshness at a low rate, and at a quarter and a half of the rate that this bundle's worker reached."""
    calm(testbed.running())
    by_load = freshness(testbed, bundle, (100.0, own["events_per_s"] / 4, own["events_per_s"] / 2), seconds)
    print(f"states on the {'GPU' if bundle.has_gpu_graphs else 'CPU'}:")
    for load_name, figures in by_load.items():
        print(f"at {load_name} events/s: " + ", ".join(f"{key} {value:,.1f}" for key, value in figures.items()))
    return by_load


def _shown(figures: Figures) -> str:
    return (
        f"{figures['events_per_s']:8,.0f} events/s  {figures['cpu_us_per_event']:6,.0f} us CPU an event  "
        f"+ {figures['kafka_cpu_us_per_event']:.0f} Kafka + {figures['cassandra_cpu_us_per_event']:.0f} Cassandra  "
        f"{figures['rss_mb']:6,.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
