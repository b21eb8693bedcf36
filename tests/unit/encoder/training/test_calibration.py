"""The fit of what recent items add to scores, and of the scale of scores."""

import copy

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from encoder.data.recent_items import FIELDS, PLACES
from encoder.data.sequences import Sequences
from encoder.data.simulator import Shop
from encoder.model.user_model import UserModel
from encoder.training.calibration import scores as calibration
from encoder.training.calibration.scores import PRIOR_DEVIATION, Calibration, fit_calibration
from encoder.training.evaluation import ScoredEvents, model_ranks, scored_events
from encoder.training.initialization import FromTrainedModel
from encoder.training.settings import TrainingSettings
from encoder.training.train import train
from tests.support.bundles import tiny_model
from tests.support.sequences import sequences_with_repeats

ITEMS, ACTIONS = 25, 3
ALL_ITEMS = np.ones(ITEMS + 1, bool)
GIVEN = Calibration(
    scale=0.5,
    place=[-1.5, -1.0, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    action=[0.0, 1.0, 0.0, -1.0],
    age=-0.1,
    count=1.0,
)


def model_with_wide_scores() -> UserModel:
    """Return a model whose scores differ so much that events show their scale."""
    model = tiny_model(items=ITEMS, width=8)
    with torch.no_grad():
        model.items.weight[:, 1:] *= 6
    return model


def all_events(model: UserModel, sequences: Sequences) -> ScoredEvents:
    parts = [part for _, part in scored_events(model, sequences, np.ones(len(sequences.item), bool))]
    return ScoredEvents(*(torch.cat(values) for values in zip(*parts, strict=True)))


def log_likelihood(model: UserModel, events: ScoredEvents, numbers: Tensor) -> Tensor:
    """Compute the log-likelihood of the events and the prior in float64, one recent item after another."""
    scale, place, action, age, count = torch.split(numbers, [1, PLACES, ACTIONS + 1, 1, 1])
    logits = scale * (events.scoring.double() @ model.item_vectors().detach().double().T)
    for k in range(PLACES):
        added = place[k] + action[events.recent_action[:, k]]
        added = added + age * events.recent_age_s[:, k].double().log1p() + count * events.recent_count[:, k].log1p()
        row = torch.nonzero(events.recent_item[:, k])[:, 0]
        logits = logits.index_put((row, events.recent_item[row, k] - 1), added[row], accumulate=True)
    chosen = logits.log_softmax(dim=1).gather(1, events.item[:, None] - 1).sum()
    off = torch.cat([scale - 1, numbers[1:]])
    return chosen - 0.5 * off.square().sum() / PRIOR_DEVIATION**2


@pytest.mark.parametrize("scores_at_once", [1, 10**7])
def test_the_derivatives_are_those_of_autograd(scores_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "PART_LOGITS", scores_at_once * ITEMS * 7)
    model = model_with_wide_scores()
    events = all_events(model, sequences_with_repeats(users=8, items=ITEMS, longest=40))
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(PLACES + ACTIONS + 4, dtype=torch.float64, generator=generator) / 2
    found = calibration._log_likelihood(model, events, numbers)

    def expected(of: Tensor) -> Tensor:
        return log_likelihood(model, events, of)

    gradient = torch.autograd.functional.jacobian(expected, numbers)
    curvature = -torch.autograd.functional.hessian(expected, numbers)
    assert found.value == pytest.approx(float(expected(numbers)), rel=1e-5)
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-4, atol=1e-4 * float(gradient.abs().max()))
    torch.testing.assert_close(found.curvature, curvature, rtol=1e-4, atol=1e-4 * float(curvature.abs().max()))


@torch.no_grad()
def drawn_sequences(given: Calibration, users: int, steps: int) -> Sequences:
    """Return sequences whose items are drawn by chance from the scores of a model with the given numbers."""
    generator = torch.Generator().manual_seed(1)
    model = model_with_wide_scores()
    given.apply(model, scales=True)
    state, representation = model.initial_state(users), model.initial_representation(users)
    gap_ms = torch.randint(0, 100_000, (users, steps), generator=generator)
    gap_ms[:, 0] = -1
    action = torch.randint(0, ACTIONS + 1, (users, steps), generator=generator)
    item = torch.zeros(users, steps, dtype=torch.int64)
    for t in range(steps):
        logits = representation[:, : model.config.width] @ model.item_vectors().T
        fields = state[:, model.recurrent_width :].view(users, len(FIELDS), PLACES)
        logits.scatter_add_(1, (fields[:, 0].long() - 1).clamp(min=0), fields[:, -1])
        item[:, t] = 1 + torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
        state, representation = model.step(item[:, t], action[:, t], gap_ms[:, t].contiguous(), state)
    flat = (part.flatten().numpy() for part in (item, action, gap_ms))
    return Sequences(np.arange(users + 1) * steps, *flat, np.arange(users * steps), {})


@torch.no_grad()
def test_a_fit_finds_the_numbers_from_which_the_events_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MAX_EVENTS", 30_000)
    sequences, model = drawn_sequences(GIVEN, users=1_000, steps=30), model_with_wide_scores()
    found = fit_calibration(model, sequences, np.ones(len(sequences.item), bool), ALL_ITEMS)
    assert found is not None
    assert found.scale == pytest.approx(GIVEN.scale, abs=0.03)
    assert (found.age, found.count) == pytest.approx((GIVEN.age, GIVEN.count), abs=0.1)
    # Near the most likely numbers, the square of the distance in units of the standard error has a chi-squared
    # distribution with as many degrees of freedom as there are numbers. The bound holds in 999 of 1,000 draws.
    given = GIVEN.numbers(ACTIONS)
    off = found.numbers(ACTIONS) - given
    curvature = calibration._log_likelihood(model, all_events(model, sequences), given).curvature
    assert float(off @ curvature @ off) < 42


def test_a_fit_that_starts_from_other_numbers_finds_the_same() -> None:
    sequences, model = drawn_sequences(GIVEN, users=100, steps=20), model_with_wide_scores()
    is_scored = np.ones(len(sequences.item), bool)
    first = fit_calibration(model, sequences, is_scored, ALL_ITEMS)
    second = fit_calibration(model, sequences, is_scored, ALL_ITEMS, start=GIVEN)
    assert first is not None
    assert second is not None
    torch.testing.assert_close(second.numbers(ACTIONS), first.numbers(ACTIONS), rtol=0, atol=0.01)


def test_the_fit_looks_at_the_events_that_count_and_is_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences, model = drawn_sequences(GIVEN, users=50, steps=20), model_with_wide_scores()
    is_scored = np.arange(len(sequences.item)) % 2 == 0
    first = fit_calibration(model, sequences, is_scored, ALL_ITEMS)
    assert first == fit_calibration(model, sequences, is_scored, ALL_ITEMS)
    assert first != fit_calibration(model, sequences, ~is_scored, ALL_ITEMS)
    monkeypatch.setattr(calibration, "MAX_EVENTS", 300)
    assert first != fit_calibration(model, sequences, is_scored, ALL_ITEMS)


@pytest.mark.parametrize(("factor", "left_nats"), [(1.0, 0.5), (20.0, 0.5), (1_000.0, 2.0)])
def test_scores_that_are_far_too_sure_get_a_small_scale_and_numbers_that_suit_this_scale(
    factor: float, left_nats: float
) -> None:
    """The first step of Newton's method goes far beyond the maximum here, because the curvature is nearly 0.

    The rounding of the largest scores in float32 hides a gain of a nat, and differs between processors.
    """
    sequences, model = sequences_with_repeats(users=40, items=ITEMS), model_with_wide_scores()
    model.scale_scores(factor)
    found = fit_calibration(model, sequences, np.ones(len(sequences.item), bool), ALL_ITEMS)
    assert found is not None
    assert calibration.SMALLEST_SCALE <= found.scale < 0.5
    numbers, events = found.numbers(ACTIONS), all_events(model, sequences)
    best = calibration._log_likelihood(model, events, numbers)
    assert best.value > calibration._log_likelihood(model, events, calibration._prior_mean(model)).value
    step = torch.linalg.solve(best.curvature[1:, 1:], best.gradient[1:])
    gain_nats = float(step @ best.gradient[1:]) / 2
    assert gain_nats < left_nats, "another step of the other numbers would gain little"


def test_a_log_of_many_actions_has_no_numbers_for_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MAX_ACTIONS", ACTIONS - 1)
    sequences, model = drawn_sequences(GIVEN, users=50, steps=20), model_with_wide_scores()
    found = fit_calibration(model, sequences, np.ones(len(sequences.item), bool), ALL_ITEMS)
    assert found is not None
    assert found.action == [0.0] * (ACTIONS + 1)
    assert found.place[0] < -0.5
    found.apply(model, scales=True)


def test_a_new_item_that_a_user_meets_first_does_not_make_the_scores_less_sure() -> None:
    sequences, model = drawn_sequences(GIVEN, users=100, steps=20), model_with_wide_scores()
    known = fit_calibration(model, sequences, np.ones(len(sequences.item), bool), ALL_ITEMS)
    is_trained = ALL_ITEMS & (np.arange(ITEMS + 1) <= ITEMS - 5)
    with torch.no_grad():
        model.items.weight[~torch.from_numpy(is_trained), 0] -= 3
    replaced = np.random.default_rng(0).random(len(sequences.item)) < 0.3
    sequences.item[replaced] = np.random.default_rng(1).integers(ITEMS - 4, ITEMS + 1, int(replaced.sum()))
    everything = np.ones(len(sequences.item), bool)
    unsure = fit_calibration(model, sequences, everything, ALL_ITEMS)
    sure = fit_calibration(model, sequences, everything, is_trained)
    assert known is not None
    assert unsure is not None
    assert sure is not None
    assert unsure.scale < 0.8 * sure.scale
    np.testing.assert_allclose(np.array(sure.place) / sure.scale, np.array(unsure.place) / unsure.scale, rtol=1e-6)


def test_without_events_or_recent_items_nothing_is_fitted() -> None:
    sequences = sequences_with_repeats(users=8, items=ITEMS)
    everything = np.ones(len(sequences.item), bool)
    model = tiny_model(items=ITEMS, width=8)
    assert fit_calibration(model, sequences, everything, ALL_ITEMS) is not None
    assert fit_calibration(model, sequences, ~everything, ALL_ITEMS) is None
    assert fit_calibration(model, sequences, sequences.item == 0, ALL_ITEMS) is None
    assert fit_calibration(tiny_model(items=ITEMS, width=8, is_whole=False), sequences, everything, ALL_ITEMS) is None


@torch.no_grad()
def outputs(model: UserModel, sequences: Sequences) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the scores of all items and the outputs of the heads before every event."""
    events = all_events(model, sequences)
    assert model.recent is not None
    assert model.heads is not None
    scores = events.scoring @ model.item_vectors().T
    added = model.recent(events.recent_item, events.recent_action, events.recent_age_s, events.recent_count)
    scores.scatter_add_(1, (events.recent_item - 1).clamp(min=0), added)
    state, users = model.initial_recurrent_state(1), slice(int(sequences.starts[0]), int(sequences.starts[1]))
    parts = (torch.from_numpy(part[users])[None] for part in (sequences.item, sequences.action, sequences.gap_ms))
    representations, _ = model.sequence(*parts, state)
    return scores, model.heads.outputs(representations[0])


def test_a_scaled_model_has_scaled_scores_and_the_same_ranks_and_heads() -> None:
    """A scale of one half is exact in float32."""
    sequences = sequences_with_repeats(users=8, items=ITEMS)
    one = model_with_wide_scores()
    other = copy.deepcopy(one)
    plain = outputs(one, sequences)[1]
    GIVEN.apply(one, scales=False)
    GIVEN.apply(other, scales=True)
    (scores, heads), (scaled, scaled_heads) = outputs(one, sequences), outputs(other, sequences)
    torch.testing.assert_close(scaled, GIVEN.scale * scores, rtol=1e-5, atol=1e-5)
    for unchanged, of_one, of_other in zip(plain, heads, scaled_heads, strict=True):
        assert torch.equal(of_one, unchanged)
        torch.testing.assert_close(of_other, unchanged, rtol=1e-5, atol=1e-6)
    ranks, scaled_ranks = model_ranks(one, sequences), model_ranks(other, sequences)
    np.testing.assert_array_equal(ranks, scaled_ranks)
    assert one.recent is not None
    assert other.recent is not None
    assert (float(one.recent.scale), float(other.recent.scale)) == (1.0, GIVEN.scale)
    np.testing.assert_allclose(other.recent.place, GIVEN.place)


def test_a_second_training_starts_with_unscaled_scores() -> None:
    log = Shop(7, 60, 40).simulate(600)
    settings = TrainingSettings(width=16, hidden=16, max_epochs=1, events_per_step=128, neighbours=False)
    trained = train(log, settings)
    assert trained.model.recent is not None
    scale = float(trained.model.recent.scale)
    assert abs(scale - 1) > 0.01
    assert trained.model.recent.place.any()
    start = FromTrainedModel(trained.model, trained.vocabulary, trained.baselines)
    vocabulary = start.vocabulary(log, settings)
    sequences = Sequences.from_log(log, vocabulary)
    model = start.model(log, vocabulary, sequences, msgspec.structs.replace(settings, seed=1)).eval()
    assert model.recent is not None
    assert float(model.recent.scale) == pytest.approx(1, rel=1e-6)
    scored = all_events(trained.model, sequences).scoring @ trained.model.item_vectors().detach().T
    unscaled = all_events(model, sequences).scoring @ model.item_vectors().detach().T
    torch.testing.assert_close(unscaled * scale, scored, rtol=1e-4, atol=1e-4)
