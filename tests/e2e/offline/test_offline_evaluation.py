"""`thalweg evaluate` on a log gives the metrics that the live system measures on the same events."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoder.data.loaders import load_log
from encoder.metrics.ranking import MISS, ranking_metrics
from export.evaluation.bundle_evaluation import predict_events
from export.evaluation.scored_events import ScoredEvents
from export.runtime.stepper import Stepper
from streams.cli import main
from streams.contracts.evaluation_events import EvaluationEvent
from streams.engine.foresight import Foresight
from streams.monitor.scoring.scoreboard import Scoreboard
from tests.support.deployment import SHOP_ITEMS, Deployment, shopping

HEADER = "timestamp,visitorid,event,itemid,transactionid"


def printed_object(*arguments: str) -> dict[str, Any]:
    """Run a command of `thalweg` and return the object that it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([*arguments, "--json"]) == 0
    result: dict[str, Any] = json.loads(printed.getvalue().splitlines()[-1])
    return result


def test_offline_and_online_metrics_are_the_same(deployment: Deployment, tmp_path: Path) -> None:
    # The events are sent in order of time, since `thalweg evaluate` sorts a log by time and a worker does not.
    sent = sorted(shopping(6_000, 250, seed=21), key=lambda one: json.loads(one[1])["event_time_ms"])
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(value for _, value in sent) + b"\n")
    worker = deployment.worker()
    worker.start()
    deployment.send(sent)
    deployment.wait_until_committed()
    worker.stop()
    evaluations = deployment.evaluations()
    assert len(evaluations) == len(sent)

    offline = printed_object("evaluate", "--bundle", str(deployment.bundle.path), "--events", str(path))
    assert offline["slices"]["item"]["unseen (always a miss)"]["n"] > 100
    log, _ = load_log(path)
    scored = ScoredEvents.from_logs(log, deployment.bundle.vocabulary)
    order = {
        (scored.user_ids[user], steps): at
        for at, (user, steps) in enumerate(zip(scored.user.tolist(), scored.steps.tolist(), strict=True))
    }
    events = sorted(evaluations, key=lambda event: order[event.user_id, event.steps])
    assert [order[event.user_id, event.steps] for event in events] == list(range(len(sent)))
    online = np.array([MISS if event.rank is None else event.rank for event in events])
    warm = scored.steps > 0
    for part, ranks in (("all", online), ("warm", online[warm]), ("cold", online[~warm])):
        expected = ranking_metrics(ranks)
        assert 0 < expected["recall@20"] < 1
        assert {name: offline["metrics"][part][name] for name in expected} == expected

    board = Scoreboard(deployment.bundle.bundle_id, window_ms=10_000, rolling_events=1_000)
    for event in evaluations:
        board.observe(event, 0)
    shown = board.cumulative()
    assert shown.events == offline["metrics"]["warm"]["n"]
    for name in ("recall@20", "mrr@20"):  # the sums are in a different order, so the last digits differ
        np.testing.assert_allclose(shown.metrics["model"][name], offline["metrics"]["warm"][name], rtol=1e-12)
    check_heads(deployment, scored, events, shown.heads, offline["heads"])


def check_heads(
    deployment: Deployment,
    scored: ScoredEvents,
    events: list[EvaluationEvent],
    online: dict[str, float],
    offline: dict[str, Any],
) -> None:
    """Compare the heads' metrics. `events` are in the order of `scored`, and `online` is what the monitor shows."""
    action, time = offline["action"]["warm"], offline["time"]
    assert 0 < action["accuracy"] < 1
    assert online["action_accuracy"] == action["accuracy"]
    np.testing.assert_allclose(online["action_macro_f1"], action["f1"], rtol=1e-12)
    np.testing.assert_allclose(online["time_log_likelihood"], time["log_likelihood"], rtol=1e-12)
    assert online["time_calibration_error"] == time["calibration_error"]
    median_s = time["median_absolute_error_s"]
    np.testing.assert_allclose(
        online["time_median_absolute_error_s"], median_s, rtol=0.05
    )  # the monitor counts in classes

    vocabulary = deployment.bundle.vocabulary
    _, outputs = predict_events(deployment.bundle, Stepper(deployment.bundle), scored)
    actions = scored.action
    foresight = Foresight.score(outputs.action, outputs.time_before, actions, scored.age_ms, vocabulary.actions)
    rows = zip(*foresight.columns(), strict=True)
    for event, row in zip(events, rows, strict=True):
        assert row == (
            event.action_probability,
            event.predicted_action,
            event.time_log_likelihood,
            event.time_quantile,
            event.expected_gap_ms,
        ), event


def rows(seed: int, start_ms: int, count: int = 1_500, users: int = 60) -> list[str]:
    """Return events of a Retailrocket log, in no order of time."""
    draw = np.random.default_rng(seed)
    times = (start_ms + draw.integers(0, 86_400_000, count)).tolist()
    items = draw.choice(SHOP_ITEMS, count).tolist()
    visitors = draw.integers(0, users, count).tolist()
    return [f"{time},{user},view,{item}," for time, user, item in zip(times, visitors, items, strict=True)]


def test_two_unsorted_files_are_applied_completely_and_measured_online_as_offline(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in deployment.settings.__struct_fields__:
        if (value := getattr(deployment.settings, name)) is not None:
            monkeypatch.setenv(f"THALWEG_{name.upper()}", str(value))
    days = [rows(seed=1, start_ms=10**12), rows(seed=2, start_ms=10**12 + 10 * 86_400_000)]
    for name, lines in (("day1", days[0]), ("day2", days[1]), ("both", days[0] + days[1])):
        (tmp_path / f"{name}.csv").write_text("\n".join([HEADER, *lines, ""]))
    worker = deployment.worker()
    worker.start()
    for name in ("day1", "day2"):
        counts = printed_object("replay", str(tmp_path / f"{name}.csv"), "--format", "retailrocket")
        assert (counts["sent"], counts["late"], counts["moved"] > 1_000) == (1_500, 0, True)
    deployment.wait_until_committed()
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    assert [reading.records(name) for name in ("applied", "already_applied", "dead_letter")] == [3_000, 0, 0]

    of = ["--bundle", str(deployment.bundle.path), "--events", str(tmp_path / "both.csv"), "--format", "retailrocket"]
    offline = printed_object("evaluate", *of)["metrics"]["warm"]
    board = Scoreboard(deployment.bundle.bundle_id, window_ms=10_000, rolling_events=1_000)
    for event in deployment.evaluations():
        board.observe(event, 0)
    online = board.cumulative()
    assert online.events == offline["n"] > 2_800
    for name in ("recall@20", "mrr@20"):
        assert offline[name] > 0
        np.testing.assert_allclose(online.metrics["model"][name], offline[name], rtol=1e-12)
