"""The slices of events, in the metrics events and for Prometheus."""

from prometheus_client import generate_latest

from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.drift.blocks import MAX_ACTIONS
from streams.monitor.exposition import monitor_registry
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from streams.monitor.scoring.scoreboard import Scoreboard
from streams.monitor.scoring.slices import Slicer
from streams.monitor.terminal_tables import snapshot_tables
from tests.support.monitoring.demo_results import plain_console, shown
from tests.support.monitoring.evaluations import evaluation

EVENTS: list[tuple[EvaluationEvent, int]] = [
    (evaluation(0, "a", steps=0), 0),
    (evaluation(1, "a", 1, action="cart", steps=1, state_age_ms=10), 10),
    (evaluation(2, "b", 4, action="view", steps=5, state_age_ms=3_600_000), 20),
    (evaluation(3, "a", None, action="view", steps=9, state_age_ms=86_400_000), 30),
]


def test_each_slice_has_the_metrics_of_its_events() -> None:
    board = Scoreboard("gru-1", 1_000, 5_000)
    for event, time_ms in EVENTS:
        board.observe(event, time_ms)
    metrics = board.advance(2_000)
    assert metrics is not None
    found = {name: (each.events, each.metrics["model"]["mrr@20"]) for name, each in metrics.slices.items()}
    assert found == {
        "action=cart": (1, 1.0),
        "action=view": (2, 0.125),
        "history=new": (1, 1.0),
        "history=known": (2, 0.125),
        "age=under_1m": (1, 1.0),
        "age=under_1d": (1, 0.25),
        "age=over_1d": (1, 0.0),
        "popularity=1": (2, 0.5),
        "popularity=unseen": (1, 0.25),
    }
    assert metrics.slices["action=cart"].metrics["popularity"]["mrr@20"] == 1.0
    for kind in ("action", "history", "age", "popularity"):
        assert sum(n for name, (n, _) in found.items() if name.startswith(kind)) == metrics.events


def test_the_number_of_slices_is_bounded() -> None:
    slicer, names = Slicer(), set()
    for number in range(10_000):
        age_ms = 10 ** (number % 10)
        event = evaluation(number, action=f"action-{number}", steps=number % 7, state_age_ms=age_ms)
        names |= set(slicer.names(event, number % 1_000, 1_000))
    assert len(names) == MAX_ACTIONS + 1 + 2 + 4 + 11


def test_prometheus_and_the_terminal_show_the_last_hour_and_the_alarms() -> None:
    boards = BundleScoreboards(1_000, 5_000)
    board = boards._board("gru-1")
    for event, time_ms in EVENTS:
        board.observe(event, time_ms, [("frozen_1h", 2, 0.25)] if event.steps else [])
    board.advance(2_000)
    text = generate_latest(monitor_registry(boards.snapshot)).decode()
    for line in (
        'thalweg_online_slice_events{bundle="gru-1",slice="action=view"} 2.0',
        'thalweg_online_slice_mrr{bundle="gru-1",scorer="model",slice="action=view"} 0.125',
        'thalweg_online_mrr{bundle="gru-1",k="20",scorer="frozen_1h",window="1h"} 0.5',
        'thalweg_online_compared_events{bundle="gru-1",scorer="frozen_1h"} 3.0',
        'thalweg_online_frozen_distance{bundle="gru-1",scorer="frozen_1h"} 0.25',
        "thalweg_monitor_expired_records_total 0.0",
    ):
        assert line in text
    console = plain_console(terminal=False, width=160)
    console.print(snapshot_tables(boards.snapshot()))
    assert "Last hour, 3 events with frozen_1h: MRR@20 0.5000, the model 0.4167" in shown(console)
