"""The whole evaluation of a bundle, as an object and as a page."""

import io
import json
from html import escape
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from encoder.metrics.leakage import find_leak, leak_warnings
from export.evaluation.bundle_evaluation import evaluate_bundle, predict_events
from export.evaluation.report.page import page
from export.evaluation.report.text_tables import print_result
from export.evaluation.scored_events import ScoredEvents
from export.exporter import export_model
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle, tiny_model
from tests.support.graphs.single_steps import live_ranks, one_by_one
from tests.support.logs import event_log
from tests.support.random_log import ITEMS, random_log


def test_heads_are_scored_by_their_outputs_before_and_after_each_event(bundle: Bundle, stepper: Stepper) -> None:
    history, log = random_log(users=120).split(0.3)
    scored = ScoredEvents.from_logs(log, bundle.vocabulary, history)
    ranks, outputs = predict_events(bundle, stepper, scored)
    assert np.array_equal(ranks, live_ranks(bundle, stepper, scored))
    sequences, actions = scored.sequences, scored.action
    for user in range(len(scored.user_ids)):
        own = slice(int(sequences.starts[user]), int(sequences.starts[user + 1]))
        events = zip(
            sequences.item[own].tolist(), sequences.action[own].tolist(), scored.event_time_ms[own], strict=True
        )
        representation = one_by_one(bundle, stepper, [(item, action, int(time_ms)) for item, action, time_ms in events])
        _, action, mixture = stepper.predict(np.stack(representation), np.zeros(len(representation), np.int64))
        for at in np.flatnonzero(scored.user == user).tolist():
            step = int(scored.steps[at])
            np.testing.assert_allclose(outputs.action[at], action[step], rtol=1e-5)
            np.testing.assert_allclose(outputs.time_before[at], mixture[step], rtol=1e-5)
            np.testing.assert_allclose(outputs.time_after[at], mixture[step + 1], rtol=1e-5)

    result = evaluate_bundle(bundle, log, history)
    heads, warm = result["heads"], scored.steps > 0
    right = outputs.action[:, 1:].argmax(axis=1) + 1 == actions
    assert heads["action"]["all"]["accuracy"] == right.mean()
    assert heads["action"]["warm"]["accuracy"] == right[warm].mean()
    assert heads["action"]["cold"]["n"] == int((~warm).sum()) > 0
    assert heads["time"]["n"] == result["metrics"]["warm"]["n"]
    assert list(heads["churn"]) == ["1d", "7d"], (
        "only 14 days are scored, so that a silence of 30 days cannot be observed"
    )
    end_ms = int(log.time_ms.max())
    for horizon, of in heads["churn"].items():
        assert of["n"] == int((log.time_ms + int(horizon[:-1]) * 86_400_000 <= end_ms).sum())
    cold = result["slices"]["user"]["cold (first event)"]
    assert (cold["action_accuracy"], cold["time_log_likelihood"]) == (right[~warm].mean(), None)
    assert result["slices"]["user"]["warm"]["time_log_likelihood"] == pytest.approx(heads["time"]["log_likelihood"])
    assert cold["popularity"]["mrr@20"] == result["baselines"]["popularity"]["cold"]["mrr@20"]


def test_offsets_of_the_bundle_change_the_named_actions(bundle: Bundle, tmp_path: Path) -> None:
    log, model = random_log(), tiny_model(ITEMS, seed=1)
    plain = export_model(model, bundle.vocabulary, tmp_path / "plain")
    adjusted = export_model(model, bundle.vocabulary, tmp_path / "adjusted", action_offsets=[9.0, 0.0, 0.0])
    result, other = evaluate_bundle(adjusted, log), evaluate_bundle(plain, log)
    action = result["heads"]["action"]["all"]
    assert action["adjusted"]["accuracy"] == action["by_action"]["view"]["share"], "always the first action"
    assert action["accuracy"] == other["heads"]["action"]["all"]["accuracy"]
    assert other["heads"]["action"]["all"]["adjusted"] is None
    assert "with the bundle&#x27;s offsets" in page(result)
    assert "with the bundle&#x27;s offsets" not in page(other)


def test_without_events_the_model_ranks_by_its_prior(bundle: Bundle, stepper: Stepper) -> None:
    log = event_log([(f"u{i}", f"item-{i + 1}", "view", 10**12 + i) for i in range(ITEMS)])
    _, prior = stepper.predict(np.tile(bundle.initial_query, (2, 1)), np.zeros(2, np.int64))[:2]
    found, outputs = predict_events(bundle, stepper, ScoredEvents.from_logs(log, bundle.vocabulary))
    assert sorted(found.tolist()) == list(range(1, ITEMS + 1)), "all users without events have the same list"
    np.testing.assert_allclose(outputs.action, np.tile(prior[0], (ITEMS, 1)), rtol=1e-6)


def test_the_page_names_the_bundle_with_leakage(bundle: Bundle, tmp_path: Path) -> None:
    log = random_log()
    other = tiny_bundle(tmp_path / "other", items=ITEMS - 10, width=16, seed=1)
    result = evaluate_bundle(bundle, log, compare=other)
    result["leak"] = find_leak(log, {"last_ms": 0})
    result["compare"]["leak"] = find_leak(log, {"last_ms": int(log.time_ms[99])})
    (text,) = leak_warnings(result)
    assert "LEAK: 100 of" in text
    assert f"of {other.bundle_id}" in text
    assert page(result).count(f'<p class="leak">{escape(text)}</p>') == 1


def test_an_evaluation_is_valid_json_and_its_page_needs_no_other_file(bundle: Bundle, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", items=ITEMS - 10, width=16, seed=1)
    history, log = random_log().split(0.05)
    result = evaluate_bundle(bundle, log, history, compare=other, is_robustness_wanted=True, is_freshness_wanted=True)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    metrics = result["metrics"]
    assert metrics["warm"]["n"] + metrics["cold"]["n"] == metrics["all"]["n"] == len(log) == result["events"]
    for group, labels in result["slices"].items():
        total = sum(of["n"] for of in labels.values())
        known = result["slices"]["item"]["known"]["n"]
        warm = metrics["warm"]["n"]
        wanted = {"item popularity decile": known, "state age": warm, "events of history": warm}.get(group, len(log))
        if group.startswith("repeats"):
            assert 0 < total < min(known, warm)
            continue
        assert total == wanted, group
    assert result["masked"]["warm"]["mrr@20"] > metrics["warm"]["mrr@20"]
    assert result["masked"]["cold"] == metrics["cold"]
    assert metrics["warm"]["f1@20"] == pytest.approx(2 * metrics["warm"]["recall@20"] / 21)
    assert metrics["warm"]["precision@5"] == pytest.approx(metrics["warm"]["recall@5"] / 5)
    assert result["slices"]["item"]["unseen (always a miss)"]["recall@20"] == 0
    assert result["robustness"]["dropped"]["0"]["recall@20"] == metrics["warm"]["recall@20"]
    assert result["freshness"]["live"] == metrics["warm"]
    compared = result["compare"]
    assert compared["metrics"] == evaluate_bundle(other, log, history)["metrics"]
    for name in ("recall@20", "mrr@20"):
        for part in ("all", "warm"):
            less = metrics[part][name] - compared["metrics"][part][name]
            assert compared["difference"][part][name]["difference"] == pytest.approx(less)
        for lag, of in result["freshness"]["frozen"].items():
            less = metrics["warm"][name] - of["all"][name]
            assert of["gain"][name]["difference"] == pytest.approx(less), lag
            assert of["older"]["live"]["n"] == of["older"]["frozen"]["n"] == of["with_state"] <= metrics["warm"]["n"]
    assert (
        of["with_state"] < metrics["warm"]["n"] < len(log)
    )  # with a lag of a week, some events have no state that old
    assert compared["difference"]["all"]["n"] == len(log)
    by_user = compared["by_user"]["all"]["mrr@20"]
    assert by_user["users"] == result["users"]
    assert by_user["interval"][0] < by_user["mean"] < by_user["interval"][1]
    assert result["compare"]["difference"]["known_to_both"]["n"] < result["slices"]["item"]["known"]["n"]
    text = page(result)
    assert "<svg" in text
    for outside in ("http:", "https:", "src=", "href=", "@import", "url("):
        assert outside not in text


def test_an_evaluation_without_warm_events_has_no_metrics_for_them(bundle: Bundle) -> None:
    log = event_log([(f"u{i}", "item-1", "view", 10**12 + i) for i in range(5)])
    result = evaluate_bundle(bundle, log, is_robustness_wanted=True, is_freshness_wanted=True)
    json.dumps(result, allow_nan=False)
    assert result["metrics"]["warm"]["recall@20"] is None
    assert "<svg" in page(result)


@pytest.mark.parametrize(("width", "has_all"), [(80, False), (170, True)])
def test_a_narrow_terminal_gets_the_slices_without_some_columns(bundle: Bundle, width: int, has_all: bool) -> None:
    history, log = random_log(users=60).split(0.3)
    printed = io.StringIO()
    print_result(Console(file=printed, width=width), evaluate_bundle(bundle, log, history))
    lines = printed.getvalue().splitlines()
    begin = next(at for at, line in enumerate(lines) if "Slices, with 95% intervals" in line)
    head = next(line for line in lines[begin:] if "recall@20" in line)
    assert head.split()[:4] == ["slice", "n", "recall@20", "95%" if has_all else "mrr@20"]
    assert ("popularity" in head) == has_all
    assert max(map(len, lines[begin : begin + 6])) <= width
    assert any(line.startswith("   cold (first event)") for line in lines[begin:])
