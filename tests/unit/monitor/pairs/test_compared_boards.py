"""Pairs behind the scoreboards: repeats and first events do not count, a restart changes nothing, and what is shown."""

import io
import random
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from streams.contracts.comparisons import BundleComparison
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate
from streams.monitor.exposition import monitor_registry
from streams.monitor.partition_merge import PartitionMerge
from streams.monitor.saved_state import SavedState, State
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from streams.monitor.scoring.scoreboard import OtherRank
from streams.monitor.terminal_tables import snapshot_line, snapshot_tables
from tests.support.monitoring.evaluations import evaluation
from tests.support.monitoring.simulated_stream import Record

EVENTS, LAG = 6_000, 700
PARTITIONS = 2


def record(event: EvaluationEvent, partition: int, offset: int, time_ms: int) -> Record:
    return Record("e", partition, offset, time_ms, b"", msgspec.json.encode(event))


def partitions() -> list[list[Record]]:
    """Two bundles' evaluation records: the second bundle is better, LAG events behind, and one in ten is sent twice."""
    choose = random.Random(1)
    events: list[tuple[int, EvaluationEvent]] = []
    for number in range(EVENTS):
        user = choose.randrange(400)
        rank = choose.choice([1, 2, 3, 8, 50])
        for bundle_id, better in (("gru-1", 1), ("gru-2", 2)):
            event = evaluation(
                number,
                f"item-{choose.randrange(50)}",
                max(1, rank // better),
                bundle_id=bundle_id,
                id=f"events-0-{user % PARTITIONS}-{number}",
                user_id=f"user-{user}",
                event_time_ms=10 * number,
            )
            lag = LAG if number and better == 2 else 0  # both bundles are known from the first record on
            events += [(10 * (number + lag), event)] * (1 + (choose.random() < 0.1))
    found: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for time_ms, event in sorted(events, key=lambda each: each[0]):
        partition = int(event.user_id.rpartition("-")[2]) % PARTITIONS
        found[partition].append(record(event, partition, len(found[partition]), time_ms))
    return found


def read(boards: BundleScoreboards, records: list[list[Record]], positions: list[int], choose: random.Random) -> None:
    """Read one block of random size of each partition, in order of time."""
    merge = PartitionMerge()
    for partition, position in enumerate(positions):
        block = records[partition][position : position + choose.randrange(1, 400)]
        positions[partition] += len(block)
        merge.push((0, partition), block)
    boards.observe(merge.release([]))


def compared(boards: BundleScoreboards) -> BundleComparison:
    [found] = boards.pairs.reports(0)
    return found


def test_a_monitor_that_is_killed_compares_as_one_that_never_stopped(tmp_path: Path) -> None:
    records = partitions()
    whole = BundleScoreboards(1_000_000, 5_000)
    merge = PartitionMerge()
    for partition, block in enumerate(records):
        merge.push((0, partition), block)
    whole.observe(merge.release([]))
    expected = compared(whole)
    assert expected.events > 0.7 * EVENTS

    choose, state = random.Random(2), SavedState(tmp_path, "k:9092", "e")
    assert state.acquire()
    boards, positions, again = BundleScoreboards(1_000_000, 5_000), [0] * PARTITIONS, 0
    while any(position < len(block) for position, block in zip(positions, records, strict=True)):
        read(boards, records, positions, choose)
        if choose.random() < 0.3:
            state.save("id", State(boards, {"e": dict(enumerate(positions))}))
        elif state.exists() and choose.random() < 0.3:
            loaded = state.load("id")
            assert isinstance(loaded, State), loaded
            boards, positions, again = loaded.scoreboards, list(loaded.positions["e"].values()), again + 1
    found = compared(boards)
    assert again > 3
    assert (found.events, found.user_blocks, found.open_events, found.users) == (
        expected.events, expected.user_blocks, expected.open_events, expected.users,
    )  # fmt: skip
    assert found.mean_difference == pytest.approx(expected.mean_difference)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert boards.snapshot().bundles["gru-1"].duplicates == whole.snapshot().bundles["gru-1"].duplicates > 100


def test_repeats_and_first_events_of_users_do_not_count() -> None:
    boards = BundleScoreboards(1_000_000, 5_000)
    names = ("gru-1", "gru-2")
    boards.observe([record(evaluation(0, bundle_id=name), 0, 0, 0) for name in names])
    for offset in range(1, 6):
        boards.observe([record(evaluation(offset, bundle_id=name), 0, 0, offset) for name in (*names, *names)])
    boards.observe([record(evaluation(6, bundle_id=name, steps=0), 0, 0, 6) for name in names])
    boards.observe([record(evaluation(7, bundle_id=name, steps=at), 0, 0, 7) for at, name in enumerate(names)])
    found = compared(boards)
    assert (found.events, found.open_events) == (5, 0), "the very first event came while one bundle was alone"


def test_tables_line_and_prometheus_show_a_pair() -> None:
    boards = BundleScoreboards(1_000_000, 5_000)
    for records in partitions():
        boards.observe(records)
    snapshot = boards.snapshot(now_ms=5)
    [pair] = snapshot.comparisons
    assert pair.mean_difference is not None
    assert pair.challenger_delay_ms == pytest.approx(10 * LAG, rel=1e-3)
    shown = f"gru-2 minus gru-1: MRR@20 {pair.mean_difference:+.4f} ({pair.low:+.4f} to {pair.high:+.4f})"
    assert 0 < pair.low < pair.mean_difference < pair.high
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(snapshot_tables(snapshot))
    text = console.export_text()
    assert f"{shown}, at every look with 95%" in text
    assert f"{pair.events:,} events of about {pair.users} users" in text
    assert "  action=view: +" in text, "a slice whose interval lies on one side of 0"
    line = snapshot_line(snapshot)
    assert line.endswith(shown)
    for name, scores in snapshot.bundles.items():
        recall = scores.rolling.metrics["model"]["recall@20"]
        assert f"; {name}, last {scores.rolling.events:,} events: model R@20 {recall:.4f}" in line
    registry = monitor_registry(lambda: snapshot)
    names = {"champion": "gru-1", "challenger": "gru-2"}
    for name, value in (
        ("difference", pair.mean_difference), ("difference_low", pair.low), ("difference_high", pair.high),
    ):  # fmt: skip
        found = registry.get_sample_value(f"thalweg_online_pair_mrr_{name}", {**names, "slice": "all"})
        assert found == pytest.approx(value)
    labels = {**names, "slice": "action=view"}
    assert registry.get_sample_value("thalweg_online_pair_events", labels) == pair.slices["action=view"].events
    assert registry.get_sample_value("thalweg_online_pair_delay_seconds", names) == pytest.approx(LAG / 100, rel=1e-3)
    assert registry.get_sample_value("thalweg_monitor_pair_unmatched_events_total", names) == 0


def test_a_pair_without_events_shows_that_nothing_counts_yet() -> None:
    boards = BundleScoreboards(1_000_000, 5_000)
    boards.observe([record(evaluation(at, bundle_id=name), 0, 0, 0) for at, name in enumerate(("gru-1", "gru-2"))])
    snapshot = boards.snapshot()
    assert snapshot_line(snapshot).endswith("gru-2 minus gru-1: no event counts yet")
    [pair] = snapshot.comparisons
    assert (pair.low, pair.high, pair.mean_difference, pair.first_time_ms) == (-1, 1, None, None)
    assert msgspec.json.decode(msgspec.json.encode(pair), type=BundleComparison) == pair


class Watched:
    """A bundle whose updates a monitor reads, without frozen representations."""

    def __init__(self, bundle_id: str) -> None:
        self.bundle_id = bundle_id

    def update(self, update: RepresentationUpdate) -> float:
        return 1.0

    def forget(self, user_id: str) -> None:
        pass

    def ranks(self, event: EvaluationEvent) -> tuple[OtherRank, ...]:
        return ()


def test_an_erasure_counts_once_in_the_updates_topic_of_each_bundle(tmp_path: Path) -> None:
    boards, names = BundleScoreboards(1_000_000, 5_000), ("gru-1", "gru-2")
    for offset in range(4):
        boards.observe([record(evaluation(offset, bundle_id=name), 0, 0, offset) for name in names])
    erased = Record("updates", 0, 90, 5, b"gru-1/somebody", None)
    boards.update(erased, Watched("gru-1"))
    state = SavedState(tmp_path, "k:9092", "e")
    assert state.acquire()
    state.save("id", State(boards, {}))
    loaded = state.load("id")
    assert isinstance(loaded, State), loaded
    boards = loaded.scoreboards
    assert compared(boards).open_events == 3
    erased = Record("updates.gru-2", 0, 3, 6, b"gru-2/u", None)
    boards.update(erased, Watched("gru-2"))
    assert compared(boards).open_events == 0, "the offsets of another topic say nothing"
    for offset in range(4, 7):
        boards.observe([record(evaluation(offset, bundle_id=name), 0, 0, offset) for name in names])
    boards.update(erased, Watched("gru-2"))
    assert compared(boards).open_events == 3, "a restarted monitor reads the erasure again, and the user has come back"
