"""Metrics of actions, times and churn, compared with values computed by hand or by brute force, and in the monitor."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.metrics.binary import auc
from encoder.metrics.churn import DAY_MS, churn_metrics, churn_outcomes
from encoder.metrics.next_action import action_metrics
from encoder.metrics.next_time import calibration_error, deciles, time_metrics
from streams.engine.foresight import Foresight
from streams.monitor.scoring.head_counts import HeadCounts
from streams.monitor.scoring.scoreboard import Scoreboard
from tests.support.logs import event_log
from tests.support.monitoring.evaluations import evaluation


def test_action_metrics_are_those_computed_by_hand() -> None:
    predicted = np.array([1, 1, 1, 2, 1, 1])
    happened = np.array([1, 1, 2, 2, 0, 3])
    probability = np.full((6, 4), 0.1)
    probability[np.arange(6), predicted] = 0.7
    found = action_metrics(probability, happened, ["view", "cart", "purchase"])
    assert found["accuracy"] == 0.5
    assert found["most_frequent"] == pytest.approx(2 / 6)
    scores = ("precision", "recall", "f1", "n")
    assert {name: {score: by[score] for score in scores} for name, by in found["by_action"].items()} == {
        "": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 1},
        "view": {"precision": 0.4, "recall": 1.0, "f1": pytest.approx(4 / 7), "n": 2},
        "cart": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "n": 2},
        "purchase": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 1},
    }
    assert found["f1"] == pytest.approx((4 / 7 + 2 / 3) / 4)
    assert found["log_loss"] == pytest.approx(-(3 * math.log(0.7) + 3 * math.log(0.1)) / 6)
    constant = -(2 * math.log(1 / 6) + 4 * math.log(2 / 6)) / 6
    assert found["constant_log_loss"] == pytest.approx(constant)
    assert found["skill"] == pytest.approx(1 - found["log_loss"] / constant)
    assert found["adjusted"] is None


def test_an_action_that_neither_occurs_nor_is_predicted_has_no_metrics() -> None:
    found = action_metrics(np.array([[0.0, 1.0, 0.0]]), np.array([1]), ["view", "cart"])
    assert list(found["by_action"]) == ["view"]
    assert found["f1"] == 1.0


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40))
def test_auc_is_the_share_of_pairs_in_the_right_order(drawn: list[tuple[int, bool]]) -> None:
    score, positive = np.array([s for s, _ in drawn], float), np.array([p for _, p in drawn])
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    expected = sum(pairs) / len(pairs) if pairs else math.nan
    assert auc(score, positive) == pytest.approx(expected, nan_ok=True)


def mixture_of(mean: float, scale: float, n: int) -> np.ndarray:
    row = [1.0, 0.0, 0.0, 0.0, *[mean] * 4, *[scale] * 4]
    return np.tile(np.array(row, np.float32), (n, 1))


def test_right_forecasts_are_calibrated_and_wrong_ones_are_not() -> None:
    gap_ms = (np.expm1(np.random.default_rng(0).normal(6, 1, 20_000)) * 1000).astype(np.int64)
    always = np.full(len(gap_ms), 10**15)
    right = time_metrics(mixture_of(6, 1, len(gap_ms)), gap_ms, always)
    late = time_metrics(mixture_of(8, 1, len(gap_ms)), gap_ms, always)
    assert right["calibration_error"] < 0.02 < 0.5 < late["calibration_error"]
    assert sum(right["deciles"]) == pytest.approx(1)
    assert right["log_mse"] == pytest.approx(1, abs=0.05)
    assert right["log_mae"] == pytest.approx(math.sqrt(2 / math.pi), abs=0.02)
    assert right["log_likelihood"] == pytest.approx(-6 - 0.5 - 0.5 * math.log(2 * math.pi), abs=0.05)
    assert late["log_likelihood"] == pytest.approx(right["log_likelihood"] - 2, abs=0.1)
    short = gap_ms < 200_000  # the gaps that a log of 200 s can show
    watched = np.full(int(short.sum()), 200_000)
    cut = time_metrics(mixture_of(6, 1, len(watched)), gap_ms[short], watched)
    assert cut["watched"]["calibration_error"] < 0.03, (
        "right forecasts are calibrated on the short gaps that were observable"
    )
    assert cut["watched"]["coverage"] == pytest.approx({"50%": 0.5, "80%": 0.8, "90%": 0.9}, abs=0.02)
    assert cut["calibration_error"] > 0.3, "the monitor does not know for how long a gap was observable"
    narrow = time_metrics(mixture_of(6, 0.5, len(gap_ms)), gap_ms, always)["watched"]["coverage"]
    assert narrow["90%"] < 0.7, "with too small a scale, too many gaps lie outside the interval"
    assert calibration_error(deciles(np.linspace(0, 1, 1_000))) == pytest.approx(0, abs=1e-3)
    assert calibration_error(np.array([50] + [0] * 9)) == pytest.approx(0.9)


def test_churn_is_known_only_for_events_at_least_a_horizon_before_the_end() -> None:
    days = [("a", 0), ("b", 0), ("a", 1), ("a", 5), ("b", 8), ("b", 9.5), ("c", 9.6), ("c", 10)]
    log = event_log([(user, "i", "view", int(day * DAY_MS)) for user, day in days])
    sequences = Sequences.from_log(log, Vocabulary(["i"], ["view"]))
    time_ms = log.time_ms[sequences.row]
    known, churned = churn_outcomes(sequences.gap_ms, sequences.starts, time_ms, int(log.time_ms.max()), 2)
    at = [(log.user_ids[log.user[row]], round(log.time_ms[row] / DAY_MS, 1)) for row in sequences.row]
    assert {where: bool(c) for where, k, c in zip(at, known, churned, strict=True) if k} == {
        ("a", 0): False,
        ("a", 1): True,
        ("a", 5): True,
        ("b", 0): True,
        ("b", 8): False,
    }, "the last events of b and c are too near to the end of the log to tell whether the users returned"


def test_a_risk_that_separates_churned_users_has_a_high_auc_and_a_low_brier_score() -> None:
    mixture = np.concatenate([mixture_of(3, 1, 50), mixture_of(15, 1, 50)])
    churned = np.arange(100) >= 50
    found = churn_metrics(mixture, np.ones(100, bool), churned, days=1)
    assert (found["auc"], found["n"], found["churned"], found["constant_brier"]) == (1.0, 100, 0.5, 0.25)
    assert found["brier"] < 0.001
    table = found["reliability"]
    assert [row["n"] for row in table] == [10] * 10
    assert [row["churned"] for row in table] == [0.0] * 5 + [1.0] * 5
    assert [row["risk"] for row in table] == pytest.approx([0.0] * 5 + [1.0] * 5, abs=0.03)


def test_the_monitors_metrics_are_those_of_the_offline_evaluation() -> None:
    rng = np.random.default_rng(0)
    names, n = ["view", "cart"], 400
    happened, mixture = rng.integers(0, 3, n), mixture_of(3, 1, n)
    probability = rng.dirichlet(np.ones(3), n)
    gap_ms = (np.expm1(rng.normal(3, 1, n).clip(0)) * 1000).astype(np.int64)
    offline, board = (
        time_metrics(mixture, gap_ms, np.full(n, 10**15)),
        Scoreboard("gru-1", window_ms=1000, rolling_events=10_000),
    )
    foresight = Foresight.score(probability.astype(np.float32), mixture, happened, gap_ms, names)
    scores = ("action_probability", "predicted_action", "time_log_likelihood", "time_quantile", "expected_gap_ms")
    for offset, row in enumerate(zip(*foresight.columns(), strict=True)):
        action = ["wave", *names][happened[offset]]
        event = evaluation(
            offset, action=action, state_age_ms=int(gap_ms[offset]), **dict(zip(scores, row, strict=True))
        )
        board.observe(event, time_ms=offset * 3)
    for found in (board.rolling().heads, board.cumulative().heads):
        actions = action_metrics(probability, happened, names)
        assert found["action_accuracy"] == pytest.approx(actions["accuracy"])
        assert found["action_macro_f1"] == pytest.approx(actions["f1"])
        assert found["time_log_likelihood"] == pytest.approx(offline["log_likelihood"], rel=1e-12)
        assert found["time_median_absolute_error_s"] == pytest.approx(offline["median_absolute_error_s"], rel=0.05)
        assert found["time_calibration_error"] == offline["calibration_error"]


def test_the_monitor_keeps_a_bounded_number_of_actions() -> None:
    counts = HeadCounts()
    for number in range(5_000):
        counts.add(evaluation(number, action=f"a{number}", predicted_action="view"))
    counts.add(evaluation(5_000, action="view", predicted_action="view"))
    assert len(counts._actions) <= 1_002
    assert counts.metrics()["action_accuracy"] == pytest.approx(1 / 5_001)


def test_a_bundle_without_heads_has_no_metrics_of_heads() -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=10)
    board.observe(evaluation(0), time_ms=0)
    assert board.cumulative().heads == {}
    ended = board.advance(5_000)
    assert ended is not None
    assert msgspec.to_builtins(ended)["heads"] == {}
