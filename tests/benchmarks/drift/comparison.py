"""False promotions and power of the comparison of two bundles, on simulated streams.

`python -m tests.benchmarks.drift.comparison --work FOLDER [--pairs N] [--streams N] [--block-events N ...] [--json]`:
models are trained on the demo's shop with the seeds 1, 2 and 3 and three epochs, unless FOLDER has their bundles. The
worker's own processor scores each stream of the simulated shop with each bundle. Everything after that is the monitor's
own code: blocks of a user's events, the sequence and its intervals, looked at after every 1,000 events until the end of
the stream. Two other intervals of the same blocks stand beside: one that holds for one look, and the empirical
Bernstein sequence.

Equal pairs: for each user, a coin decides which of two bundles is the champion. So the pair is equal in expectation
over the coins, while the events of a user keep their dependence. A promotion is an interval above 0. Pairs with a
planted difference: the champion of an equal pair misses events at random, so that the challenger is better by 2%.

The command ends with code 1 when more than 5% of the equal pairs are promoted.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from encoder.metrics.confidence_sequence import RunningSums, confidence_interval
from export.runtime.bundle import Bundle
from streams.contracts.evaluation_events import EvaluationEvent
from streams.demo import shop
from streams.monitor.pairs.betting_sequence import intervals
from streams.monitor.pairs.pair import Compared, reciprocal
from streams.monitor.pairs.user_blocks import BLOCK_EVENTS, EVERYTHING, OpenBlocks
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

    Events at the first look with an interval above 0, or below 0; infinity without such a look.
    """

    above: float
    below: float
    one_look_above: float
    bernstein_above: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="has or gets the bundles")
    parser.add_argument("--pairs", type=int, default=200, metavar="N")
    parser.add_argument("--streams", type=int, default=4, metavar="N")
    parser.add_argument("--block-events", type=int, nargs="+", default=[BLOCK_EVENTS], metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    streams = [stream for run in range(1, args.streams + 1) for stream in paired(run, bundles(args.work))]
    found = [judged(streams, args.pairs, block_events) for block_events in args.block_events]
    seeds = [real(streams[place :: len(SEEDS)]) for place in range(len(SEEDS))]
    result = {"events_of_a_stream": sorted({len(stream) for stream in streams}), "blocks": found, "real_seeds": seeds}
    print(json.dumps(result, indent=None if args.json else 2))
    return 0 if all(each["false_promotions"] <= 0.05 for each in found) else 1


def judged(streams: list[list[Event]], pairs: int, block_events: int) -> dict[str, Any]:
    """False promotions and power with blocks of at most so many events."""
    equal = [watched(labelled(streams[n % len(streams)], n), block_events) for n in range(pairs)]
    planted = [watched(labelled(streams[n % len(streams)], n, PLANTED), block_events) for n in range(pairs)]
    return {
        "block_events": block_events,
        "equal_pairs": pairs,
        "false_promotions": share([one.above for one in equal]),
        "false_demotions": share([one.below for one in equal]),
        "false_promotions_of_one_look": share([one.one_look_above for one in equal]),
        "false_promotions_of_bernstein": share([one.bernstein_above for one in equal]),
        "planted": PLANTED,
        "found_after": {events: share([one.above for one in planted], events) for events in AFTER},
        "median_events": statistics.median(one.above for one in planted),
        "median_events_of_bernstein": statistics.median(one.bernstein_above for one in planted),
    }


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


def watched(events: Iterable[Event], block_events: int) -> Watched:
    """Look at a pair after every LOOK_EVERY events."""
    blocks, compared = OpenBlocks(block_events), Compared(block_events)
    above = below = one_look_above = bernstein_above = math.inf
    bernstein, values = RunningSums(), []
    squares = 0.0
    for count, event in enumerate(events, 1):
        for block in blocks.add(event.user_id, event.time_ms, event.first, event.second, ()):
            sums = block.sums[EVERYTHING]
            compared.add(sums)
            values.append((sums.challenger - sums.champion) / block_events)
            squares += (sums.challenger - sums.champion) ** 2
        if count % LOOK_EVERY == 0:
            report = compared.report(*intervals([compared.sequence])[0])
            above = min(above, count if report.low > 0 else math.inf)
            below = min(below, count if report.high < 0 else math.inf)
            is_above = compared.challenger - compared.champion > 1.96 * math.sqrt(squares)
            one_look_above = min(one_look_above, count if is_above else math.inf)
            bernstein, values = bernstein.followed_by(np.array(values)), []
            is_above = confidence_interval(bernstein)[0] > 0
            bernstein_above = min(bernstein_above, count if is_above else math.inf)
    return Watched(above, below, one_look_above, bernstein_above)


def real(streams: list[list[Event]]) -> dict[str, Any]:
    """Two seeds as they are: their difference over all streams, and how often one of both was promoted."""
    first, second = (np.mean([event[place] for stream in streams for event in stream]) for place in (2, 3))
    found = [watched(stream, BLOCK_EVENTS) for stream in streams]
    return {
        "relative_difference": round(float(second / first - 1), 5),
        "streams": len(found),
        "above": sum(one.above < math.inf for one in found),
        "below": sum(one.below < math.inf for one in found),
    }


def share(found: list[float], events: float = sys.float_info.max) -> float:
    """The share of the pairs that were found within so many events."""
    return sum(each <= events for each in found) / len(found)


if __name__ == "__main__":
    sys.exit(main())
