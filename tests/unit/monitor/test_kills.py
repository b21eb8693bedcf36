"""A monitor that is killed at random moments publishes each interval and each alarm once, whatever it read again.

The topic is two lists. A run reads blocks of random sizes through the merge, publishes, saves now and then, and ends at
a random record without saving.
"""

import pickle
import random
from typing import Any

import msgspec
import pytest

from streams.contracts.alarm_events import AlarmEvent
from streams.monitor.drift.alarm_log import AlarmLog
from streams.monitor.drift.blocks import BLOCK_EVENTS
from streams.monitor.drift.level import LEARN_BLOCKS
from streams.monitor.drift.watch import WARM_UP_BLOCKS
from streams.monitor.partition_merge import PartitionMerge
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from tests.support.monitoring.evaluations import evaluation
from tests.support.monitoring.simulated_stream import Record

GOOD, BAD, BACK = (WARM_UP_BLOCKS + LEARN_BLOCKS + 5) * BLOCK_EVENTS, 8 * BLOCK_EVENTS, 30 * BLOCK_EVENTS
STEP_MS = 25


class Topics:
    """What is in the topics, and the saved state: everything that outlives a monitor."""

    def __init__(self) -> None:
        choose = random.Random(1)
        self.partitions: list[list[Record]] = [[], []]
        for number in range(GOOD + BAD + BACK):
            is_bad = GOOD <= number < GOOD + BAD
            rank = (50 if is_bad else 2) if choose.random() < 0.5 else 5
            partition = choose.randrange(2)
            records = self.partitions[partition]
            event = evaluation(0, f"item-{choose.randrange(300)}", rank, id=f"events-0-{partition}-{len(records)}")
            records.append(Record("e", partition, len(records), number * STEP_MS, b"", msgspec.json.encode(event)))
        self.alarms: list[AlarmEvent] = []
        self.interval_ids: list[str] = []
        self.interval_events = 0
        self.saved = pickle.dumps((BundleScoreboards(10_000, 5_000), [0, 0]))
        self.read = 0

    def run(self, choose: random.Random, most: float) -> BundleScoreboards:
        """Run a monitor that is killed after about `most` records."""
        boards, positions = pickle.loads(self.saved)
        log, merge, fetched = AlarmLog(), PartitionMerge(), list(positions)
        for alarm in self.alarms:
            log.note(alarm)
        while most > 0:
            partition = choose.randrange(2)
            block = self.partitions[partition][fetched[partition] : fetched[partition] + choose.randrange(1, 900)]
            fetched[partition] += len(block)
            merge.push((0, partition), block)
            lagging = [(0, p) for p in range(2) if fetched[p] < len(self.partitions[p])]
            records = merge.release(lagging)
            for record in records:
                positions[record.partition] = record.offset + 1
            most -= len(records)
            self.read += len(records)
            self._publish(boards.observe(records), boards.take_alarms(), log)
            if choose.random() < 0.1:
                self.saved = pickle.dumps((boards, positions))
            if not lagging and not merge.buffered:
                break
        return boards

    def _publish(self, ended: list[Any], alarms: list[AlarmEvent], log: AlarmLog) -> None:
        for metrics in ended:
            if metrics.id not in self.interval_ids:
                self.interval_ids.append(metrics.id)
                self.interval_events += metrics.events
        for alarm in alarms:
            if (new := log.new(alarm)) is not None:
                self.alarms.append(new)
                log.note(new)


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments_repeat_nothing_and_lose_nothing(seed: int) -> None:
    choose, topics = random.Random(seed), Topics()
    for _ in range(10):
        topics.run(choose, choose.uniform(0, 12_000))
    topics.run(choose, float("inf"))
    boards = topics.run(choose, float("inf"))
    total = GOOD + BAD + BACK
    assert topics.read > total, "some records were read twice"
    assert [(alarm.name, alarm.state) for alarm in topics.alarms] == [
        ("quality_drop", "firing"),
        ("quality_drop", "resolved"),
    ]
    assert topics.alarms[0].starts_at_ms == topics.alarms[1].starts_at_ms
    assert len(set(topics.interval_ids)) == len(topics.interval_ids)
    latest = boards.snapshot().latest
    assert latest is not None
    assert latest.cumulative.events == total
    assert 0 <= total - topics.interval_events <= 3 * 10_000 / STEP_MS, "the last interval is not over"
