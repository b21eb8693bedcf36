"""Records in, snapshots out: bundles apart, undecodable records counted, and what the terminal and Prometheus show."""

import io
from types import SimpleNamespace

import msgspec
from rich.console import Console

from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.drift.level import Change
from streams.monitor.drift.watch import Watch
from streams.monitor.exposition import monitor_registry
from streams.monitor.scoring.bundle_scoreboards import UNUSED_MS, BundleScoreboards
from streams.monitor.scoring.scores import Snapshot
from streams.monitor.terminal_tables import snapshot_line, snapshot_tables
from tests.support.monitoring.evaluations import evaluation


def record(event: EvaluationEvent | bytes, timestamp: int) -> SimpleNamespace:
    value = event if isinstance(event, bytes) else msgspec.json.encode(event)
    return SimpleNamespace(topic="evaluations", partition=0, offset=7, timestamp=timestamp, value=value)


def snapshot_of(*events: EvaluationEvent) -> Snapshot:
    boards = BundleScoreboards(window_ms=10_000, rolling_events=5_000)
    boards.observe([record(event, 0) for event in events])
    return boards.snapshot()


def text_of_tables(snapshot: Snapshot) -> str:
    """What a terminal shows, with single spaces."""
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(snapshot_tables(snapshot))
    return " ".join(console.export_text().split())


def test_bundles_are_scored_apart_and_undecodable_records_are_counted_with_a_reason() -> None:
    boards = BundleScoreboards(window_ms=1_000, rolling_events=5_000)
    ended = boards.observe(
        [
            record(evaluation(1), 0),
            record(evaluation(1, bundle_id="gru-2", rank=90), 10),
            record(b'{"id": 5}', 11),
            record(evaluation(2, id="no position"), 12),
        ]
    )
    assert ended == []
    ended = boards.advance(2_000)
    assert {(m.id, m.events, m.metrics["model"]["recall@20"]) for m in ended} == {
        ("gru-1-1000-0", 1, 1.0),
        ("gru-2-1000-0", 1, 0.0),
    }
    assert msgspec.json.decode(msgspec.json.encode(ended[0]), type=MetricsEvent) == ended[0]
    snapshot = boards.snapshot()
    assert (snapshot.records, snapshot.undecodable) == (4, 2)
    assert snapshot.problem is not None
    expected = "evaluations-0-7 is not an evaluation event: Expected `str`, got `int` - at `$.id`"
    assert snapshot.problem.startswith(expected)
    assert snapshot.latest is not None
    assert list(snapshot.bundles)[-1] in ("gru-1", "gru-2")


def test_the_last_interval_of_a_bundle_ends_while_another_bundle_has_events() -> None:
    boards = BundleScoreboards(window_ms=1_000, rolling_events=5_000)
    boards.observe([record(evaluation(1, bundle_id="old"), 0), record(evaluation(2, bundle_id="new"), 10)])
    ended = boards.observe([record(evaluation(3, bundle_id="new"), 1_500)])
    assert [metrics.id for metrics in ended] == ["new-1000-0"], "records of the interval may still be on their way"
    ended = boards.observe([record(evaluation(4, bundle_id="new"), 2_100)])
    assert {metrics.id for metrics in ended} == {"old-1000-0", "new-1000-1000"}


def test_a_bundle_without_records_for_a_day_is_dropped_after_its_alarms_were_taken() -> None:
    boards = BundleScoreboards(window_ms=1_000, rolling_events=5_000)
    boards.observe([record(evaluation(1, bundle_id="old"), 5), record(evaluation(2), 10)])
    alarm = Watch("old")._alarm(("gaps", "all"), Change("firing", 1, None, 1.0, 2.0))
    boards._boards["old"].alarms = [alarm]
    boards.observe([record(evaluation(3), UNUSED_MS + 5)])
    assert set(boards.snapshot().bundles) == {"old", "gru-1"}
    boards.observe([record(evaluation(4), UNUSED_MS + 6)])
    assert boards.take_alarms() == [alarm]
    boards.observe([record(evaluation(5), UNUSED_MS + 7)])
    assert set(boards.snapshot().bundles) == set(boards.alarm_states()) == {"gru-1"}


def test_tables_line_and_prometheus_say_that_scores_of_a_sample_are_estimates() -> None:
    def shown(share: float | None) -> tuple[str, str, float, float]:
        snapshot = snapshot_of(*(evaluation(offset, share=share) for offset in range(20)))
        registry = monitor_registry(lambda: snapshot)
        names = "thalweg_monitor_evaluation_share", "thalweg_monitor_estimated_events"
        values = [registry.get_sample_value(name, {"bundle": "gru-1"}) or 0.0 for name in names]
        return text_of_tables(snapshot), snapshot_line(snapshot), values[0], values[1]

    table, line, share, total = shown(0.05)
    assert "The scores are estimates: 5.00% of the events were evaluated. About 400 events" in table
    assert "(estimates from 5.00% of all events)" in line
    assert (share, total) == (0.05, 400)
    assert line.startswith("20 records read")
    table, line, share, total = shown(None)
    assert "estimates" not in table + line
    assert (share, total) == (1, 20)


def test_the_tables_say_that_the_calibration_error_is_not_corrected() -> None:
    text = text_of_tables(snapshot_of(evaluation(0, time_log_likelihood=-1.0, time_quantile=0.05)))
    assert "raw calibration error 0.9000" in text
    assert "`thalweg evaluate` corrects for these gaps" in text
