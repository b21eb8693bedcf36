"""False promotions and power of the comparison of two bundles, on simulated streams.

`python -m tests.benchmarks.drift.comparison --work FOLDER [--pairs N] [--streams N] [--json]`: models are trained on
the demo's shop with the seeds 1, 2 and 3 and three epochs, unless FOLDER has their bundles. The worker's own processor
scores each stream of the simulated shop with each bundle. Everything after that is the monitor's own code: blocks of a
user's events, the sequence and its intervals, looked at after every 1,000 events until the end of the stream.

Equal pairs: for each user, a coin decides which of two bundles is the champion. So the pair is equal in expectation
over the coins, while the events of a user keep their dependence. A promotion is an interval above 0. Pairs with a
planted difference: the champion of an equal pair misses events at random, so that the challenger is better by 2%.

The command ends with code 1 when more than 5% of the equal pairs are promoted.
"""

import argparse
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from export.runtime.bundle import Bundle
from streams.contracts.evaluation_events import EvaluationEvent
from streams.demo import shop
from streams.monitor.pairs.betting_sequence import intervals
from streams.monitor.pairs.pair import Compared, reciprocal
from streams.monitor.pairs.user_blocks import EVERYTHING, OpenBlocks
from tests.support.monitoring.simulated_stream import scored, simulated_stream

SEEDS, EPOCHS = (1, 2, 3), 3
LOOK_EVERY = 1_000
PLANTED = 0.02
AFTER = (5_000, 10_000, 20_000, 50_000, 100_000)  # events, for the share of planted differences that are found


class Event(NamedTuple):
    """An event with the reciprocal ranks of two bundles."""

    user_id: str
    time_ms: int
    first: float
    second: float


class Watched(NamedTuple):
    """What somebody saw who looked at a pair after every LOOK_EVERY events.

    above, below: events at the first look with an interval above 0 or below 0. naive_above: the same for an interval
    that holds for one look.
    """

    above: float
    below: float
    naive_above: float
    events: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="has or gets the bundles")
    parser.add_argument("--pairs", type=int, default=200, metavar="N")
    parser.add_argument("--streams", type=int, default=4, metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    streams = [stream for run in range(1, args.streams + 1) for stream in paired(run, bundles(args.work))]
    equal = [watched(labelled(streams[n % len(streams)], n)) for n in range(args.pairs)]
    planted = [watched(labelled(streams[n % len(streams)], n, PLANTED)) for n in range(args.pairs)]
    found = {
        "events_of_a_stream": [len(stream) for stream in streams],
        "equal_pairs": args.pairs,
        "false_promotions": share(equal, lambda one: one.above < math.inf),
        "false_demotions": share(equal, lambda one: one.below < math.inf),
        "false_promotions_of_an_interval_for_one_look": share(equal, lambda one: one.naive_above < math.inf),
        "planted": PLANTED,
        "found_after": {events: share(planted, partial(is_found, events)) for events in AFTER},
        "median_events_to_find": sorted(one.above for one in planted)[len(planted) // 2],
        "real_seeds": [real(streams[place :: len(streams) // args.streams]) for place in range(len(SEEDS))],
    }
    print(json.dumps(found, indent=None if args.json else 2))
    return 0 if found["false_promotions"] <= 0.05 else 1


def bundles(work: Path) -> list[Bundle]:
    """The bundles of the seeds, trained where they are missing."""
    log = work / "shop.jsonl"
    for seed in SEEDS:
        checkpoint, bundle = work / f"checkpoint-{seed}", work / f"bundle-{seed}"
        if bundle.is_dir():
            continue
        if not log.exists():
            counts = ["--events", str(shop.EVENTS), "--items", str(shop.ITEMS), "--users", str(shop.USERS)]
            thalweg("simulate", *counts, "--seed", str(shop.SEED), "--out", str(log))
        first = str(1 - shop.STREAMED_EVENTS / shop.EVENTS)
        options = ["--first", first, "--seed", str(seed), "--max-epochs", str(EPOCHS), "--device", "cpu"]
        thalweg("train", str(log), *options, "--out", str(checkpoint))
        thalweg("export", str(checkpoint), "--out", str(bundle), "--without-checkpoint")
    return [Bundle.load(work / f"bundle-{seed}") for seed in SEEDS]


def thalweg(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "streams.cli", *arguments], check=True, stdout=sys.stderr)


def paired(run: int, loaded: list[Bundle]) -> Iterator[list[Event]]:
    """The events of one stream with the scores of each pair of bundles."""
    records = simulated_stream(run, "none", until=0.55).records
    decode = msgspec.json.Decoder(EvaluationEvent).decode
    scores = []
    for bundle in loaded:
        events = [decode(record.value) for evaluations, _ in scored(records, bundle) for record in evaluations]
        scores.append({event.id: event for event in events if event.steps})
    for first, second in combinations(scores, 2):
        assert first.keys() == second.keys()
        yield [
            Event(one.user_id, one.event_time_ms, reciprocal(one.rank), reciprocal(second[name].rank))
            for name, one in first.items()
        ]


def labelled(events: list[Event], seed: int, planted: float = 0.0) -> Iterator[Event]:
    """An equal pair: a coin for each user. planted: how much better the second is, as a share of the first."""
    choose = random.Random(seed)
    coins: dict[str, bool] = {}
    for event in events:
        coin = coins.setdefault(event.user_id, choose.random() < 0.5)
        one, other = (event.second, event.first) if coin else (event.first, event.second)
        is_missed = planted and choose.random() >= 1 / (1 + planted)
        yield event._replace(first=0.0 if is_missed else one, second=other)


def watched(events: Iterable[Event]) -> Watched:
    """Look at a pair after every LOOK_EVERY events."""
    blocks, compared = OpenBlocks(), Compared()
    above = below = naive_above = math.inf
    squares, count = 0.0, 0
    for count, event in enumerate(events, 1):
        for block in blocks.add(event.user_id, event.time_ms, event.first, event.second, ()):
            sums = block.sums[EVERYTHING]
            compared.add(sums)
            squares += (sums.challenger - sums.champion) ** 2
        if count % LOOK_EVERY == 0:
            report = compared.report(*intervals([compared.sequence])[0])
            above = min(above, count if report.low > 0 else math.inf)
            below = min(below, count if report.high < 0 else math.inf)
            is_naive = compared.challenger - compared.champion > 1.96 * math.sqrt(squares)
            naive_above = min(naive_above, count if is_naive else math.inf)
    return Watched(above, below, naive_above, count)


def is_found(events: int, one: Watched) -> bool:
    return one.above <= events


def real(streams: list[list[Event]]) -> dict[str, Any]:
    """Two seeds as they are: their difference over all streams, and how often one of both was promoted."""
    first, second = (np.mean([event[place] for stream in streams for event in stream]) for place in (2, 3))
    found = [watched(stream) for stream in streams]
    return {
        "relative_difference": round(float(second / first - 1), 5),
        "streams": len(found),
        "above": sum(one.above < math.inf for one in found),
        "below": sum(one.below < math.inf for one in found),
    }


def share(found: list[Watched], holds: Callable[[Watched], bool]) -> float:
    return sum(map(holds, found)) / len(found)


if __name__ == "__main__":
    sys.exit(main())
