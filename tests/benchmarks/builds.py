"""Rates of several builds of Thalweg in turn, on the same services and events: whether a change made workers slower.

`python -m tests.benchmarks.builds EARLIER LATER [--models plain default] [--rounds 6] [--events 800000] [--json]`.
EARLIER and LATER are folders with a checkout each, for example of `git worktree add`. All builds run in the environment
of this command. A build that ends because it does not know a setting of this checkout is compared by the checkout of
that build. A build from before bought items can only load the models `plain` and `no_purchases`.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec

from export.runtime.bundle import Bundle
from streams.demo.worker_process import WorkerProcess
from streams.local import local_services
from tests.benchmarks.bench import load
from tests.benchmarks.bench.contenders import Contender, Testbed, run

MODELS: dict[str, dict[str, bool]] = {
    "plain": {},
    "default": {"is_whole": True},
    "no_purchases": {"is_whole": True, "has_purchases": False},
}
WARM_SHARE = 4  # One event of four is done before the measured stretch.


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("builds", nargs="+", type=Path, metavar="FOLDER", help="a checkout; the first is the reference")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["plain", "default"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--events", type=int, default=800_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    builds = [folder.absolute() for folder in args.builds]
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="thalweg-builds-") as folder, local_services(long_running=True) as services:
        work = Path(folder)
        bundles = {model: load.bundle(work / model, **MODELS[model]) for model in args.models}
        testbed = Testbed(services, load.prepare(services, work / args.models[0], args.events), work)
        for turn in range(args.rounds):
            first = turn % len(builds)
            for model, bundle in bundles.items():
                for build in builds[first:] + builds[:first]:
                    name = f"{model}_{builds.index(build)}"
                    figures = run(testbed, _contender(testbed, name, build, bundle, args.events), turn)
                    runs.setdefault(name, []).append(figures)
                    print(f"{model}, {build}: {', '.join(f'{key} {value:,.3g}' for key, value in figures.items())}")
    for model in bundles:
        for number, build in enumerate(builds[1:], 1):
            print(f"{model}, {build}: {_ratios(runs[f'{model}_0'], runs[f'{model}_{number}'])}")
    if args.json:
        print(json.dumps({"builds": [str(build) for build in builds], "runs": runs}))
    return 0


def _contender(testbed: Testbed, name: str, build: Path, bundle: Bundle, events: int) -> Contender:
    """The worker of a build. Each turn has a new keyspace and a new group, so that no row is stored."""

    def service(turn: int) -> WorkerProcess:
        own = f"{name}_{turn}"
        settings = msgspec.structs.replace(testbed.settings, group=own, keyspace=own, bundle=str(bundle.path))
        # With -P, Python does not look for packages in the folder in which this command runs.
        command = (sys.executable, "-P", "-m", "streams.cli", "worker")
        return WorkerProcess(settings, testbed.work / f"{own}.log", command, {"PYTHONPATH": str(build)})

    return Contender(name, testbed.settings.evaluation_topic, events // WARM_SHARE, events, service)


def _ratios(reference: list[dict[str, float]], later: list[dict[str, float]]) -> str:
    """The ratio of the medians of the rates, and the ratio of each round."""
    rates = [[figures["events_per_s"] for figures in one] for one in (later, reference)]
    rounds = ", ".join(f"{a / b:.2f}" for a, b in zip(*rates, strict=True))
    return f"{statistics.median(rates[0]) / statistics.median(rates[1]):.3f} of the first build's rate ({rounds})"


if __name__ == "__main__":
    raise SystemExit(main())
