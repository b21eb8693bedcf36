"""The monitor's own detector of a level beside the detectors of river, on the same figures of the same blocks.

`python -m tests.benchmarks.drift.detectors [--runs N] [--first-seed S]`: for each seed and each planted drift, the one
figure whose alarm belongs to the drift. The series begins after the warm-up. River's detectors see it divided by the
standard deviation of its first blocks. The table shows the events from the drift to its detection, and detections
before.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
from river import drift as river

from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.drift.blocks import RULES, Block, Key
from streams.monitor.drift.item_mix import ItemMix
from streams.monitor.drift.level import LEARN_BLOCKS, Figure, Level
from streams.monitor.drift.watch import WARM_UP_BLOCKS
from streams.monitor.scoring.ranked_counts import RankedCounts
from tests.support.monitoring.drift_run import ALARM_OF, UNTIL
from tests.support.monitoring.simulated_stream import scored, simulated_stream

RIVER: dict[str, Callable[[], Any]] = {
    "ADWIN, defaults": river.ADWIN,
    "ADWIN, delta 1e-5, clock 1": lambda: river.ADWIN(delta=1e-5, clock=1, grace_period=5),
    "ADWIN, delta 1e-8, clock 1": lambda: river.ADWIN(delta=1e-8, clock=1, grace_period=5),
    "KSWIN, alpha 1e-4": lambda: river.KSWIN(alpha=1e-4, seed=1),
    "Page-Hinkley, defaults": river.PageHinkley,
    "Page-Hinkley, delta 1.5, threshold 8": lambda: river.PageHinkley(
        min_instances=30, delta=1.5, threshold=8, alpha=1.0
    ),
}


class Series(NamedTuple):
    """A figure of each block. events: evaluated events from the drift to the end of the block, below 0 before."""

    name: str
    events: list[int]
    blocks: list[Block]
    key: Key

    def values(self) -> list[float]:
        return [block.figures({self.key: 0.0})[self.key].value for block in self.blocks]


def series(seed: int, drift: str) -> Series:
    """The blocks of one run, as `Watch` makes them."""
    stream = simulated_stream(seed, drift, UNTIL[drift])
    assert stream.drift_ms is not None
    popularity, mix, block = RankedCounts(), ItemMix(), Block(0)
    ends: list[int] = []
    blocks: list[Block] = []
    count = before = 0
    decode = msgspec.json.Decoder(EvaluationEvent).decode
    for evaluations, _ in scored(stream.records):
        for record in evaluations:
            event = decode(record.value)
            count += 1
            before += record.timestamp < stream.drift_ms
            figure = mix.observe(event.previous_item_id, event.item_id)
            if event.steps:
                block.add(event, event.action, popularity.rank(event.item_id), figure)
                if block.is_full(record.timestamp):
                    ends.append(count)
                    blocks.append(block)
                    block = Block(record.timestamp)
            popularity.add(event.item_id)
    slice_name = f"action={stream.stopped_action}" if drift == "stopped action" else "all"
    begin = WARM_UP_BLOCKS
    return Series(drift, [end - before for end in ends[begin:]], blocks[begin:], (ALARM_OF[drift], slice_name))


def own(found: Series) -> list[int]:
    """The events at which the own detector fires."""
    rule = RULES[found.key[0]]
    level, fired = Level(rule.rises, rule.falls), []
    for events, block in zip(found.events, found.blocks, strict=True):
        references = {found.key: level.reference} if level.reference is not None else {}
        figures: dict[Key, Figure] = block.figures(references)
        figure = figures.get(found.key, Figure(0.0, 0.0, 0.0))
        change = level.observe(figure, max(0, events))
        if change is not None and change.state == "firing":
            fired.append(events)
    return fired


def of_river(make: Callable[[], Any], found: Series) -> list[int]:
    """The events at which a detector of river fires."""
    values = found.values()
    mean, deviation = statistics.mean(values[:LEARN_BLOCKS]), statistics.stdev(values[:LEARN_BLOCKS])
    detector, fired = make(), []
    for events, value in zip(found.events, values, strict=True):
        detector.update((value - mean) / deviation)
        if detector.drift_detected:
            fired.append(events)
    return fired


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--first-seed", type=int, default=101, metavar="S")
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.runs)
    found = [series(seed, drift) for seed in seeds for drift in ALARM_OF]
    detectors: dict[str, Callable[[Series], list[int]]] = {"own": own}
    for name, make in RIVER.items():
        detectors[name] = partial(of_river, make)
    for name, detect in detectors.items():
        cells, missed, false = [], 0, 0
        for drift in ALARM_OF:
            fired = [detect(each) for each in found if each.name == drift]
            delays = [next((events for events in each if events > 0), None) for each in fired]
            known = [delay for delay in delays if delay is not None]
            cells.append(f"{drift} {min(known, default=0):,} to {max(known, default=0):,}")
            missed += len(delays) - len(known)
            false += sum(events <= 0 for each in fired for events in each)
        print(f"{name}: {'; '.join(cells)}; missed {missed}; false {false}")


if __name__ == "__main__":
    main()
