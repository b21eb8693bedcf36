"""Compares Thalweg with what users would build instead, on the same services, events and machine.

`make bench` (ARGS=--json, --quick, --rounds N, --only NAME ..., --rivals DIR, --plot FILE.svg). Each contender does the
whole job for each event: parse it, look up the user's state, rank the item among 5,000, step a GRU of width 64, store
the state and publish an evaluation event. `default` is Thalweg with the model that `thalweg train` makes by default,
`plain` is Thalweg with the GRU alone, as the rivals have it, and `gpu` keeps its states on a GPU, if there is one. A
contender runs with one and with two processes or threads, and its better median counts. The contenders take turns on
the same Kafka and Cassandra. The benchmark measures their progress from outside, as the growth of the output topic, and
the CPU time that their processes use. Then a prober measures how old events are when rows can be read, in the same way
for `default`, `plain` and Kafka Streams.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from export.runtime.bundle import Bundle
from export.runtime.providers import cuda_failure
from streams.local import local_services
from streams.store.cql_schema import representations_table
from tests.benchmarks.bench import load
from tests.benchmarks.bench.contenders import Contender, Testbed, plain_faust, run, thalweg, worker
from tests.benchmarks.bench.floor import floor
from tests.benchmarks.bench.freshness import RATES, Fresh, freshness
from tests.benchmarks.bench.log_reading import log_figures
from tests.benchmarks.bench.plot import svg
from tests.benchmarks.bench.rivals import kstreams, rivals
from tests.benchmarks.bench.watch import calm

RIVALS = Path(os.environ.get("BENCH_RIVALS", Path(__file__).parents[4] / "shared" / "peers"))
NAMES = {
    "default": "Thalweg, default model",
    "plain": "Thalweg, plain GRU",
    "gpu": "Thalweg, on the GPU",
    "kstreams": "Kafka Streams, micro-batches",
    "kstreams_event": "Kafka Streams, one by one",
    "bytewax": "Bytewax",
    "quix": "Quix Streams",
    "plain_faust": "plain Faust",
}
OWN = ("default", "plain", "gpu")
USUAL = ("default", "plain", "gpu", "kstreams", "quix", "plain_faust")
FRESH = ("default", "plain", "kstreams")
FRESHNESS_S = 12.0  # of each rate
Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_200_000)
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=NAMES,
        default=list(USUAL),
        help=f"run only these of {', '.join(NAMES)} (default: {' '.join(USUAL)})",
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
        args.rounds, args.events, args.only = 1, 400_000, ["default", "plain", "plain_faust"]
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, local_services(long_running=True) as services:
        work = Path(folder)
        bundles = {name: bundle for name, bundle in _bundles(work) if name in args.only}
        first = next(iter(bundles.values()), None) or load.bundle(work / "first")
        testbed = Testbed(services, load.prepare(services, first.path, args.events), work)
        found = _rounds(testbed, _contenders(testbed, bundles, args), args.rounds)
        if not found:
            parser.error(f"none of {', '.join(args.only)} can run here")
        result = _summary(found)
        if "plain" in result:
            result |= _floor(testbed, bundles["plain"], result["plain"])
        result["freshness_ms"] = _freshness(testbed, bundles, args, result)
    result["log"] = log_figures()
    print("reading of a CSV: " + ", ".join(f"{key} {value:,.0f}" for key, value in result["log"].items() if value))
    if args.plot is not None:
        args.plot.write_text(svg({name: result[name]["events_per_s"] for name in NAMES if name in result}, NAMES))
    if args.json:
        print(json.dumps(result))
    return 0


def _bundles(work: Path) -> Iterator[tuple[str, Bundle]]:
    """Yield the name and the bundle of each contender that is Thalweg."""
    yield "default", load.bundle(work / "default", is_whole=True)
    yield "plain", load.bundle(work / "plain")
    failure = cuda_failure()
    if failure is None:
        yield "gpu", load.bundle(work / "gpu", for_gpu=True)
    else:
        print(f"gpu is left out: {failure or 'there is no GPU here'}", flush=True)


def _contenders(testbed: Testbed, bundles: dict[str, Bundle], args: argparse.Namespace) -> list[Contender]:
    found = [
        thalweg(testbed, name, bundle, args.events, processes)
        for name, bundle in bundles.items()
        for processes in ((1,) if name == "gpu" or args.quick else (1, 2))
    ]
    if "plain_faust" in args.only:
        found.append(plain_faust(testbed, load.bundle(testbed.work / "plain_faust_bundle")))
    if set(args.only) - set(bundles) - {"plain_faust", "gpu"}:
        found += [
            rival
            for rival in rivals(testbed, args.rivals, lambda line: print(line, flush=True))
            if rival.name in args.only
        ]
    return found


def _rounds(testbed: Testbed, contenders: list[Contender], rounds: int) -> dict[str, dict[int, list[Figures]]]:
    """Return the figures of all runs, by name and share. A run that fails is left out, and the reason is printed."""
    found: dict[str, dict[int, list[Figures]]] = {}
    for turn in range(rounds):
        for contender in contenders:
            try:
                figures = run(testbed, contender, turn)
            except TimeoutError as error:
                print(error, flush=True)
                continue
            found.setdefault(contender.name, {}).setdefault(contender.share, []).append(figures)
            print(f"{contender.title:16} {_shown(figures)}", flush=True)
    return found


def _summary(found: dict[str, dict[int, list[Figures]]]) -> dict[str, Any]:
    """Return the medians of each contender's better share, and the ratios of Thalweg's rates to those of others."""
    result: dict[str, Any] = {}
    print("\nmedians, at the better number of processes or threads")
    for name, by_share in found.items():
        medians = {
            share: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
            for share, runs in by_share.items()
        }
        share = max(medians, key=lambda one: medians[one]["events_per_s"])
        rates = [one["events_per_s"] for one in by_share[share]]
        result[name] = {
            **medians[share],
            "processes" if name in OWN else "threads": share,
            "events_per_s_spread": [min(rates), max(rates)],
            "by_share": {str(one): figures["events_per_s"] for one, figures in medians.items()},
        }
        print(f"{NAMES[name]:28} x {share} {_shown(medians[share])}  ({min(rates):,.0f} to {max(rates):,.0f})")
    others = [name for name in found if name not in OWN]
    for own in [name for name in ("default", "plain") if name in found]:
        rate = result[own]["events_per_s"]
        result[f"ratio_{own}"] = ratios = {name: rate / result[name]["events_per_s"] for name in others}
        print(f"{NAMES[own]}: " + ", ".join(f"{ratio:.2f} times {NAMES[name]}" for name, ratio in ratios.items()))
    return result


def _floor(testbed: Testbed, bundle: Bundle, own: Figures) -> dict[str, Any]:
    """Return the least CPU time of Thalweg's parts."""
    parts = floor(testbed.settings, bundle, own["rows_per_event"])
    share = parts["sum"] / own["cpu_us_per_event"]
    print("floor, us CPU an event: " + ", ".join(f"{part} {us:.1f}" for part, us in parts.items()))
    print(f"the floor is {share:.2f} of what Thalweg uses")
    return {"floor_us_per_event": parts, "floor_share": share}


def _freshness(
    testbed: Testbed, bundles: dict[str, Bundle], args: argparse.Namespace, result: dict[str, Any]
) -> dict[str, Any]:
    """Return the freshness of each contender by rate, with one process or thread, which is fresher than two."""
    found = {}
    for name in FRESH:
        contender = _fresh(testbed, bundles, args, name) if name in result else None
        if contender is None:
            continue
        calm(testbed.running())
        found[name] = freshness(testbed, contender, FRESHNESS_S, RATES[:2] if args.quick else RATES)
        for rate, figures in found[name].items():
            print(f"{NAMES[name]} at {rate} events/s: " + _named(figures), flush=True)
    return found


def _fresh(testbed: Testbed, bundles: dict[str, Bundle], args: argparse.Namespace, name: str) -> Fresh | None:
    topic = f"fresh.{name}.events"
    if name == "kstreams":
        start = kstreams(testbed, args.rivals, topic, 1)
        return None if start is None else Fresh(name, topic, "u.ks", "off", "ts", None, start)
    bundle = bundles[name]
    own = load.named(testbed.settings, f"fresh_{name}")
    settings = msgspec.structs.replace(own, behavior_topic=topic, bundle=str(bundle.path))
    table = f"{settings.keyspace}.{representations_table(bundle.manifest.representation_width)}"
    log = testbed.work / f"fresh_{name}.log"
    return Fresh(name, topic, table, "steps", "event_time_ms", bundle.bundle_id, lambda: worker(settings, log, 1))


def _named(figures: Figures) -> str:
    return ", ".join(f"{key} {value:,.1f}" for key, value in figures.items())


def _shown(figures: Figures) -> str:
    return (
        f"{figures['events_per_s']:8,.0f} events/s  {figures['cpu_us_per_event']:6,.0f} us CPU an event  "
        f"+ {figures['kafka_cpu_us_per_event']:.0f} Kafka + {figures['cassandra_cpu_us_per_event']:.0f} Cassandra  "
        f"{figures['rss_mb']:6,.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
