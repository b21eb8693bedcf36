"""Windows, deduplication and headline population of the scoreboard, against plain lists and `encoder.metrics`."""

import io
import math
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from encoder.metrics.ranking import mrr, ndcg, recall
from streams.config.settings import Settings
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor import screen
from streams.monitor.exposition import registry
from streams.monitor.merge import BUFFER_RECORDS, PartitionMerge
from streams.monitor.monitor import Monitor
from streams.monitor.scoreboard import Scoreboard
from streams.monitor.windows import Windows
from tests.support.evaluations import evaluation

ranks = st.lists(st.none() | st.integers(1, 60), min_size=1, max_size=200)


@given(ranks)
def test_metrics_are_those_of_the_plain_list_of_ranks(model: list[int | None]) -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=10_000)
    for offset, rank in enumerate(model):
        board.observe(evaluation(offset, rank=rank), time_ms=offset)
    plain = np.array([rank or 0 for rank in model])
    for scores in (board.rolling(), board.cumulative()):
        assert scores.events == len(model)
        assert scores.unknown_items == model.count(None)
        for metric in (recall, mrr, ndcg):
            for k in (10, 20):
                assert scores.metrics["model"][f"{metric.__name__}@{k}"] == pytest.approx(metric(plain, k), rel=1e-12)


def test_first_events_are_observed_but_not_scored_and_duplicates_do_neither() -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=100)
    for _ in range(3):
        board.observe(evaluation(0, item="x", steps=0, rank=50), time_ms=0)
    board.observe(evaluation(1, item="x", rank=None), time_ms=1)
    scores = board.cumulative()
    assert (scores.events, scores.without_history, scores.unknown_items, board.duplicates) == (1, 1, 1, 2)
    assert scores.metrics["model"]["recall@20"] == 0.0
    assert scores.metrics["popularity"]["mrr@20"] == 1.0, "the popularity baseline had seen x once"
    assert scores.by_scorer()["popularity"]["n"] == 1
    assert scores.metrics["last_item"]["mrr@20"] == 1.0, "without a last item: the popularity ranking"


def test_no_events_have_no_metrics() -> None:
    assert math.isnan(Scoreboard("gru-1", 1000, 100).cumulative().metrics["model"]["recall@20"])


def test_the_rolling_window_forgets_and_the_cumulative_does_not() -> None:
    board = Scoreboard("gru-1", window_ms=10**9, rolling_events=100)
    for offset in range(1000):
        board.observe(evaluation(offset, rank=1 if offset >= 800 else 99), time_ms=0)
    assert 95 <= board.rolling().events <= 105
    assert board.rolling().metrics["model"]["recall@20"] == 1.0
    assert board.cumulative().metrics["model"]["recall@20"] == pytest.approx(0.2)


@given(st.lists(st.integers(0, 5000), max_size=100).map(sorted), st.integers(1, 50))
def test_stretches_of_time_partition_the_events(times: list[int], rolling_events: int) -> None:
    windows = Windows(window_ms=1000, rolling_events=rolling_events)
    closed = []
    for time_ms in [*times, 10**6]:
        if (over := windows.at(time_ms)) is not None:
            closed.append((over[0], over[1].events))
        windows.open.add(1, 1, 1)
    assert closed == [(s, n) for s in range(0, 6000, 1000) if (n := sum(s <= t < s + 1000 for t in times))]


def record(event: EvaluationEvent | bytes, timestamp: int) -> SimpleNamespace:
    value = event if isinstance(event, bytes) else msgspec.json.encode(event)
    return SimpleNamespace(topic="evaluations", partition=0, offset=7, timestamp=timestamp, value=value)


def test_bundles_are_scored_apart_and_other_records_are_counted_with_their_reason() -> None:
    monitor = Monitor(Settings(), "evaluations", window_s=1)
    over = monitor.observe(
        [
            record(evaluation(1), 0),
            record(evaluation(1, bundle_id="gru-2", rank=90), 10),
            record(b'{"id": 5}', 11),
            record(evaluation(2, id="no position"), 12),
        ]
    )
    assert over == []
    over = monitor.close_windows(2_000)
    assert {(m.id, m.events, m.metrics["model"]["recall@20"]) for m in over} == {
        ("gru-1-1000-0", 1, 1.0),
        ("gru-2-1000-0", 1, 0.0),
    }
    assert msgspec.json.decode(msgspec.json.encode(over[0]), type=MetricsEvent) == over[0]
    now = monitor._take_snapshot()
    assert (now.records, now.undecodable) == (4, 2)
    assert now.problem is not None
    assert now.problem.startswith("evaluations-0-7 is not an evaluation event: Expected `str`, got `int` - at `$.id`")
    assert now.latest is not None
    assert list(now.bundles)[-1] in ("gru-1", "gru-2")


def test_a_sample_is_marked_as_one_and_counts_for_all_where_the_share_was_changed() -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=100)
    for offset in range(40):  # 10 events are hits, 300 are misses
        share = None if offset < 10 else 0.1
        board.observe(evaluation(offset, rank=1 if share is None else 99, share=share), time_ms=0)
    board.observe(evaluation(40, steps=0, share=0.1), time_ms=0)
    scores = board.cumulative()
    assert (scores.events, scores.without_history) == (40, 1)
    assert scores.share == pytest.approx(41 / 320)
    assert scores.metrics["model"]["recall@20"] == pytest.approx(10 / 310)
    over = board.at(2_000)
    assert over is not None
    assert (over.events, over.share) == (40, scores.share)


def test_whoever_looks_at_the_monitor_is_told_of_a_sample() -> None:
    def seen(share: float | None) -> tuple[str, str, float, float]:
        monitor = Monitor(Settings(), "evaluations")
        monitor.observe([record(evaluation(offset, share=share), 0) for offset in range(20)])
        now = monitor._take_snapshot()
        console = Console(record=True, width=200, file=io.StringIO())
        console.print(screen.render(now))
        exposed = registry(lambda: now)
        names = "thalweg_monitor_evaluation_share", "thalweg_monitor_estimated_events"
        values = [exposed.get_sample_value(name, {"bundle": "gru-1"}) or 0.0 for name in names]
        return " ".join(console.export_text().split()), screen.line(now), values[0], values[1]

    table, line, share, total = seen(0.05)
    assert "estimates: 5.00% of the events were evaluated, of which there were about 400 with history" in table
    assert "(estimates, 5.00% of all)" in line
    assert (share, total) == (0.05, 400)
    table, line, share, total = seen(None)
    assert "estimates" not in table + line
    assert (share, total) == (1, 20)


def test_the_monitors_calibration_error_is_told_from_the_corrected_one() -> None:
    monitor = Monitor(Settings(), "evaluations")
    monitor.observe([record(evaluation(0, time_log_likelihood=-1.0, time_quantile=0.05), 0)])
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(screen.render(monitor._take_snapshot()))
    said = " ".join(console.export_text().split())
    assert "raw calibration error 0.9000 (times still running are missing" in said
    assert "corrected by `thalweg evaluate`" in said


def test_without_a_sample_the_share_is_one() -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=100)
    for offset in range(1000):
        board.observe(evaluation(offset, steps=offset % 3), time_ms=0)
    assert board.cumulative().share == 1


lumps = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=60)


@given(st.lists(st.lists(st.integers(0, 50), max_size=40), min_size=3, max_size=3), lumps)
def test_merging_gives_one_order_whatever_the_lumps(partitions: list[list[int]], lumps: list[tuple[int, int]]) -> None:
    def merged(lumps: list[tuple[int, int]]) -> list[tuple[int, int]]:
        merge, position, out = PartitionMerge(), [0, 0, 0], []
        for partition, count in [*lumps, (0, 99), (1, 99), (2, 99)]:
            records = [
                SimpleNamespace(timestamp=t, name=(partition, i))
                for i, t in enumerate(partitions[partition])
                if position[partition] <= i < position[partition] + count
            ]
            position[partition] += len(records)
            merge.push(partition, records)
            behind = [p for p in range(3) if position[p] < len(partitions[p])]
            assert merge.full(behind) == []
            out += [r.name for r in merge.release(behind)]
        assert merge.buffered == 0
        return out

    order = merged(lumps)
    running = [list(np.maximum.accumulate(p)) if p else [] for p in partitions]
    assert order == sorted(order, key=lambda name: (running[name[0]][name[1]], name))
    assert len(order) == sum(map(len, partitions))


def test_a_full_buffer_waits_but_never_the_one_that_all_wait_for() -> None:
    merge = PartitionMerge()
    merge.push(0, [SimpleNamespace(timestamp=t) for t in range(BUFFER_RECORDS)])
    assert merge.release(behind=[0, 1]) == []
    assert merge.full(behind=[0, 1]) == [0]
    merge.push(1, [SimpleNamespace(timestamp=10**6) for _ in range(BUFFER_RECORDS)])
    assert merge.full(behind=[0, 1]) == [1], "0 is waited for"
    assert len(merge.release(behind=[0, 1])) == BUFFER_RECORDS - 1
    assert merge.full(behind=[0, 1]) == [1]
    assert len(merge.release(behind=[])) == BUFFER_RECORDS + 1
    assert merge.full(behind=[]) == []
