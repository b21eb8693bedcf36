"""Metrics that show whether a prediction of actions knows more than the shares of the actions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.metrics.binary import average_precision, groups_by_probability
from encoder.metrics.next_action import action_metrics, confusion_matrix, probability_scores

NAMES = ["view", "cart", "purchase"]


def drawn(n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return right probabilities, where views are frequent, and the actions that were drawn from the probabilities."""
    random = np.random.default_rng(0)
    logits = np.array([-9.0, 3.0, 0.0, -1.0]) + 0.8 * random.normal(size=(n, 4))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    action = (random.random((n, 1)) > probability.cumsum(axis=1)).sum(axis=1)
    return probability, np.minimum(action, 3)


def test_constant_probabilities_have_no_skill_and_right_ones_have_some() -> None:
    probability, action = drawn()
    shares = np.bincount(action, minlength=4) / len(action)
    constant = action_metrics(np.tile(shares, (len(action), 1)), action, NAMES)
    assert constant["accuracy"] == constant["most_frequent"]
    assert constant["skill"] == pytest.approx(0, abs=1e-9)
    assert [constant["by_action"][name]["auc"] for name in NAMES] == [0.5] * 3
    right = action_metrics(probability, action, NAMES)
    assert right["skill"] > 0.03
    for name in NAMES:
        scores = right["by_action"][name]
        assert scores["auc"] > 0.6
        assert scores["average_precision"] > scores["share"] + 0.02
        assert scores["calibration_error"] < 0.02
        assert constant["by_action"][name]["average_precision"] == pytest.approx(scores["share"])


def test_probabilities_that_are_too_sure_are_not_calibrated() -> None:
    probability, action = drawn()
    sure = probability**2 / (probability**2).sum(axis=1, keepdims=True)
    before, after = (probability_scores(p[:, 2], action == 2)["calibration_error"] for p in (probability, sure))
    assert after > before + 0.03


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30))
def test_the_average_precision_is_the_mean_over_the_positives(events: list[tuple[int, bool]]) -> None:
    score, positive = np.array([s for s, _ in events], float), np.array([p for _, p in events])
    precisions = [positive[score >= of].mean() for of in score[positive]]
    expected = float(np.mean(precisions)) if precisions else np.nan
    assert average_precision(score, positive) == pytest.approx(expected, nan_ok=True)


def test_offsets_change_the_named_action_and_no_probability() -> None:
    probability = np.array([[0.0, 0.7, 0.3], [0.0, 0.9, 0.1]])
    action = np.array([2, 1])
    assert confusion_matrix(probability, action)[2, 1] == 1
    found = action_metrics(probability, action, NAMES[:2], [0.0, np.log(3)])
    assert (found["accuracy"], found["adjusted"]["accuracy"]) == (0.5, 1.0)
    assert found["adjusted"]["f1"] == 1.0
    assert found["log_loss"] == action_metrics(probability, action, NAMES[:2])["log_loss"]


def test_fewer_events_than_groups_leave_no_empty_group() -> None:
    assert [group.tolist() for group in groups_by_probability(np.array([0.3, 0.1]))] == [[1], [0]]
