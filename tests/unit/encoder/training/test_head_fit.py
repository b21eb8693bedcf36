"""The heads are fitted on representations that no longer change, and the actions are calibrated."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.simulator import Shop
from encoder.metrics.next_action import action_metrics
from encoder.metrics.time_mixture import COMPONENTS
from encoder.training import trainer
from encoder.training.calibration import head_events, head_fit
from encoder.training.calibration.actions import (
    ActionCalibration,
    action_offsets,
    action_shares,
    fit_action_calibration,
)
from encoder.training.calibration.head_events import HeadEvents
from encoder.training.calibration.head_fit import HeadFit, fit_heads, validate_heads
from encoder.training.calibration.minimize import minimize
from encoder.training.evaluation import head_metrics, head_outputs, model_ranks
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained, train
from export.exporter import export_model
from tests.support.bundles import tiny_model

SETTINGS = TrainingSettings(width=16, hidden=16, max_epochs=2, min_support=1)


@cache
def log() -> EventLog:
    return Shop(7, 60, 80, 60, 0.5).simulate(3_000)


@cache
def trained(is_fitted: bool) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        if not is_fitted:
            patch.setattr(trainer, "validate_heads", lambda *arguments: None)
        return train(log().split(0.7)[0], SETTINGS)


def test_a_fit_makes_the_heads_better_and_leaves_every_rank() -> None:
    later = Sequences.from_log(log(), trained(True).vocabulary)
    is_scored = later.row >= len(log().split(0.7)[0])
    before, after = (
        head_metrics(found.model, found.vocabulary, log(), later, is_scored)
        for found in (trained(False), trained(True))
    )
    assert after["time"]["log_likelihood"] > before["time"]["log_likelihood"] + 0.1
    for horizon in ("1d", "7d"):
        assert after["churn"][horizon]["brier"] < before["churn"][horizon]["brier"]
        miss = abs(after["churn"][horizon]["mean_risk"] - after["churn"][horizon]["churned"])
        assert miss < 0.05
    assert after["action"]["log_loss"] < before["action"]["log_loss"]
    ranks = [model_ranks(found.model, later) for found in (trained(False), trained(True))]
    assert ranks[0].tolist() == ranks[1].tolist()
    for name, weights in trained(False).model.state_dict().items():
        if not name.startswith("heads."):
            torch.testing.assert_close(trained(True).model.state_dict()[name], weights, rtol=0, atol=0, equal_nan=True)


def test_the_graphs_of_fitted_heads_agree_with_the_model(tmp_path: Path) -> None:
    found = trained(True)
    bundle = export_model(found.model, found.vocabulary, tmp_path / "b", action_offsets=found.action_offsets)
    assert bundle.manifest.parity["head_max_rel_diff"] <= 1e-5
    offset_of = bundle.manifest.action_offsets
    assert [offset_of[name] for name in found.vocabulary.actions] == found.action_offsets


def test_the_fitted_heads_are_the_same_again() -> None:
    model, sequences = trained(True).model, Sequences.from_log(log(), trained(True).vocabulary)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    found = validate_heads(model, sequences, sequences.row >= 2_500)
    assert found == validate_heads(model, sequences, sequences.row >= 2_500)
    assert found is not None
    torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0, equal_nan=True)
    assert validate_heads(model, sequences, np.zeros(len(sequences.item), bool)) is None


def test_heads_that_are_better_without_a_fit_are_only_calibrated() -> None:
    model, sequences = tiny_model(items=5), Sequences.from_log(log(), trained(True).vocabulary)
    sequences.item[:], sequences.action[:] = np.minimum(sequences.item, 5), np.minimum(sequences.action, 3)
    assert model.heads is not None
    time = model.heads.time.weight.clone()
    before = head_outputs(model, sequences)[0]
    fit_heads(model, sequences, HeadFit(False, ActionCalibration(0.0, [0.0, 0.0, 0.0, 0.0], 0.5)))
    after = head_outputs(model, sequences)[0]
    shares = action_shares(torch.from_numpy(sequences.action), 3).numpy()
    np.testing.assert_allclose(after, np.tile(shares, (len(after), 1)), rtol=1e-4)  # a scale of 0 leaves the shares
    assert np.abs(before - after).max() > 0.1
    assert torch.equal(time, model.heads.time.weight)
    assert fit_heads(model, sequences, None) == []


def test_a_fit_that_fails_leaves_the_heads_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sequences = trained(True).model, Sequences.from_log(log(), trained(True).vocabulary)
    monkeypatch.setattr(head_fit, "minimize", lambda *arguments: False)
    found = validate_heads(model, sequences, sequences.row >= 2_500)
    assert found is not None
    assert not found.is_better


def test_before_a_fit_users_who_come_often_are_expected_sooner() -> None:
    head = head_fit._Head(2, 4, 100.0, torch.zeros(3 * COMPONENTS))
    head.expect(2)
    often, seldom = head(torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, -1.0, 0.0]]))
    assert (often[head_fit.VISITS] < seldom[head_fit.VISITS] - 0.5).all()
    rest = torch.ones(3 * COMPONENTS, dtype=torch.bool)
    rest[head_fit.VISITS] = False
    assert torch.equal(often[rest], seldom[rest])
    weights = [head.hidden.weight.clone(), head.out.weight.clone()]
    assert head.fit(lambda: (head.out.bias - 1).square().sum() + head.hidden.bias.square().sum(), 1, 50)
    for layer, centre, before in zip((head.hidden, head.out), head.centres, weights, strict=True):
        assert (layer.weight - centre).abs().max() < 0.2 * before.abs().max(), "without events, the prior decides"


def test_a_component_that_hardly_varies_is_not_read() -> None:
    representation = torch.randn(100, 3)
    representation[:, 1] = 1 + 1e-6 * representation[:, 1]
    inputs = head_fit._Inputs.of(representation)
    assert inputs(torch.full((1, 3), 1e6))[0, 1] == 0
    assert inputs(representation)[:, 0].std(correction=0) == pytest.approx(1, abs=1e-4)


def test_a_long_log_is_fitted_on_some_of_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sequences = trained(True).model, Sequences.from_log(log(), trained(True).vocabulary)
    whole = HeadEvents.of(model, sequences)
    monkeypatch.setattr(head_events, "MAX_EVENTS", 100)
    some = HeadEvents.of(model, sequences)
    assert len(some.position) == 100
    chosen = np.isin(whole.position, some.position)
    for expected, got in zip(whole.at(chosen), some, strict=True):
        np.testing.assert_array_equal(expected, got)
    last = sequences.starts[1:] - 1
    assert whole.is_censored.nonzero()[:, 0].tolist() == last.tolist()
    np.testing.assert_allclose(whole.gap_s[last], sequences.censored_gap_ms(last) / 1000, rtol=1e-6)
    first = sequences.starts[:-1][sequences.lengths > 1]
    np.testing.assert_allclose(whole.gap_s[first], sequences.gap_ms[first + 1] / 1000, rtol=1e-6)


def test_a_calibration_finds_the_numbers_from_which_the_actions_were_drawn() -> None:
    torch.manual_seed(0)
    shares = torch.tensor([0.01, 0.89, 0.06, 0.04])
    given = ActionCalibration(0.4, [0.0, 0.0, 0.5, -0.5], 0.0)
    logits = shares.log() + torch.randn(20_000, 4)
    action = torch.distributions.Categorical(logits=given.logits(logits, shares)).sample()
    found = fit_action_calibration(logits, action, shares)
    assert found.scale == pytest.approx(given.scale, abs=0.1)
    added = np.array(found.added) - found.added[1]
    assert added[2:] == pytest.approx(given.added[2:], abs=0.15)
    probability = found.logits(logits, shares).softmax(dim=1)
    occurred = torch.bincount(action, minlength=4) / len(action)
    np.testing.assert_allclose(probability.mean(dim=0), occurred, atol=0.005)


def test_offsets_name_rare_actions_where_that_raises_the_mean_f1() -> None:
    torch.manual_seed(0)
    shares = action_shares(torch.tensor([1] * 900 + [2] * 60 + [3] * 40), 3)
    logits = shares.log() + 1.5 * torch.randn(10_000, 4)
    action = torch.distributions.Categorical(logits=logits).sample()
    exponent = fit_action_calibration(logits, action, shares).exponent
    assert 0 < exponent <= 1
    offsets = action_offsets(shares, exponent)
    assert offsets[0] == 0.0 < offsets[1] < offsets[2]
    found = action_metrics(logits.softmax(dim=1).numpy(), action.numpy(), ["view", "cart", "purchase"], offsets)
    assert found["adjusted"]["f1"] > found["f1"] + 0.02
    useless = shares.log().expand(1_000, 4)
    assert fit_action_calibration(useless, action[:1_000], shares).exponent == 0.0


def test_minimize_finds_the_minimum_of_several_tensors() -> None:
    tensors = [torch.zeros(2, 3, requires_grad=True), torch.ones(1, requires_grad=True)]
    goal = torch.arange(6.0).reshape(2, 3)
    assert minimize(tensors, lambda: (tensors[0] - goal).square().sum() + (tensors[1] + 4).square().sum(), 50)
    torch.testing.assert_close(tensors[0].detach(), goal, atol=1e-3, rtol=0)
    assert tensors[1].item() == pytest.approx(-4, abs=1e-3)
    assert not minimize(tensors, lambda: sum(tensor.sum() for tensor in tensors) * torch.nan, 5)
