"""The likelihood of the heads, compared with numeric integration, and what the heads learn."""

import math

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoder.data.batches.windows import windows
from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.metrics.time_mixture import MIN_SCALE, TimeMixture
from encoder.model.config import ModelConfig
from encoder.model.heads import Heads, log_likelihood
from encoder.model.user_model import UserModel
from encoder.training.evaluation import head_metrics, head_outputs
from encoder.training.losses.next_item import FullSoftmax
from encoder.training.losses.window_loss import window_loss
from encoder.training.optimizer import AdamW
from tests.support.bundles import tiny_model
from tests.support.logs import event_log


def mixtures(n: int = 20) -> NDArray[np.float32]:
    """Return mixtures of which some have much of their mass below a gap of 0, where the density is cut off."""
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(3, 4, (n, 4)), rng.uniform(0.1, 3, (n, 4))
    return np.concatenate([rng.dirichlet(np.ones(4), n), mean, scale], axis=1, dtype=np.float32)


def integral(mixture: NDArray[np.float32], upto_s: float) -> float:
    """Integrate the density over gaps from 0, in logarithmic steps that are fine for short gaps."""
    edges = np.expm1(np.linspace(0, math.log1p(upto_s), 20_001))
    middle = (edges[1:] + edges[:-1]) / 2
    density = np.exp(TimeMixture(np.tile(mixture, (len(middle), 1))).log_density(middle))
    return float((density * np.diff(edges)).sum())


def test_the_density_integrates_to_one_and_its_tail_to_the_survival_function() -> None:
    for mixture in mixtures(6):
        assert integral(mixture, 1e12) == pytest.approx(1, abs=1e-3)
        for gap_s in (0.5, 40.0, 5_000.0):
            left = np.exp(TimeMixture(mixture[None]).log_survival(gap_s))[0]
            assert 1 - integral(mixture, gap_s) == pytest.approx(left, abs=1e-3)


def test_far_tails_do_not_underflow() -> None:
    """The tail of four equal components is that of torch's normal distribution, without the part that is cut off."""
    mixture = np.array([[0.25] * 4 + [1.0] * 4 + [0.1] * 4])
    z = torch.tensor([(math.log(1 + gap_s) - 1) / 0.1 for gap_s in (1e3, 1e6, 1e9)], dtype=torch.float64)
    kept = float(torch.special.log_ndtr(torch.tensor(10.0, dtype=torch.float64)))
    left = [float(TimeMixture(mixture).log_survival(gap_s)[0]) for gap_s in (1e3, 1e6, 1e9)]
    assert left == pytest.approx((torch.special.log_ndtr(-z) - kept).tolist(), rel=1e-9)
    assert left[2] < -10_000


def test_the_remaining_time_is_conditional_on_the_time_waited() -> None:
    foreseen = TimeMixture(mixtures())
    survival = {s: np.exp(foreseen.log_survival(s)) for s in (30.0, 90.0)}
    np.testing.assert_allclose(foreseen.silence(90.0), survival[90.0])
    np.testing.assert_allclose(foreseen.silence(60.0, 30.0), survival[90.0] / survival[30.0], rtol=1e-9)
    assert (foreseen.silence(1e9, 1e12) > 0).all(), "a tail so far out that both values underflow"
    np.testing.assert_allclose(foreseen.cumulative(foreseen.median_s()), 0.5, atol=2e-3)
    tails = np.concatenate([np.full((3, 4), 0.25), [[-30.0] * 4, [-2.0] * 4, [40.0] * 4], np.full((3, 4), 0.5)], axis=1)
    gone, short, long = TimeMixture(tails).median_s()
    assert 0 <= gone < 1e-3 < short < 1
    assert long > 1e13


def numbers(mixture: NDArray[np.float32]) -> torch.Tensor:
    """Return the outputs of the time head from which these mixtures follow."""
    weight, mean, scale = (torch.from_numpy(part) for part in np.split(mixture, 3, axis=1))
    return torch.cat([weight.log(), mean, torch.log(torch.expm1((scale - MIN_SCALE).clamp(min=1e-6)))], 1)


def test_training_and_serving_use_the_same_distribution() -> None:
    mixture = mixtures(500)
    gap_s = np.exp(np.random.default_rng(1).normal(4, 4, 500)).astype(np.float32)
    foreseen = TimeMixture(mixture)
    for is_censored, expected in ((False, foreseen.log_density(gap_s)), (True, foreseen.log_survival(gap_s))):
        got = log_likelihood(numbers(mixture), torch.from_numpy(gap_s), is_censored=is_censored)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("is_censored", [False, True])
def test_float32_stays_finite_at_the_extremes(is_censored: bool) -> None:
    gap_s = torch.tensor([0.0, 1e-3, 1.0, 1e6, 1e10]).repeat_interleave(4)
    numbers = torch.zeros(len(gap_s), 12)
    for row, (mean, scale) in enumerate(5 * [(-30.0, -20.0), (0.0, -20.0), (30.0, -20.0), (30.0, 20.0)]):
        numbers[row, 4:8], numbers[row, 8:] = mean, scale
    numbers[:, 0] = 60.0  # one component has the whole weight
    numbers.requires_grad_()
    value = log_likelihood(numbers, gap_s, is_censored=is_censored)
    torch.autograd.backward(value.sum())
    assert value.isfinite().all()
    assert numbers.grad is not None
    assert numbers.grad.isfinite().all()
    if is_censored:
        assert (value <= 1e-3).all()


def test_censored_gaps_count_as_long_gaps() -> None:
    """Half of the gaps are longer than the observed time. The median is found only if these gaps count, too."""
    torch.manual_seed(0)
    gap_s = np.random.default_rng(0).lognormal(5, 1, 2_000)
    watched_s = math.exp(5)
    seen, unseen = gap_s[gap_s < watched_s], int((gap_s >= watched_s).sum())

    def fitted_median(censored: int) -> float:
        head = torch.nn.Parameter(Heads(2, 1).time.bias.detach().clone())
        optimizer = AdamW([head], 0.1, 0.0)
        times, waits = torch.from_numpy(seen).float(), torch.full((censored,), watched_s)
        for _ in range(150):
            optimizer.zero_grad()
            likelihood = log_likelihood(head.expand(len(times), -1), times, is_censored=False).sum()
            likelihood = likelihood + log_likelihood(head.expand(censored, -1), waits, is_censored=True).sum()
            (-likelihood / 1_000).backward()
            optimizer.step(1.0, 1.0)
        with torch.no_grad():
            weight, mean, scale = head.reshape(1, -1).chunk(3, dim=1)
            scale = MIN_SCALE + torch.nn.functional.softplus(scale)
            mixture = torch.cat([weight.softmax(1), mean, scale], 1).numpy()
        return float(TimeMixture(mixture).median_s()[0])

    assert fitted_median(unseen) == pytest.approx(watched_s, rel=0.05)
    assert fitted_median(0) < 0.7 * watched_s


def log_of_habits() -> EventLog:
    """Return a log of a view, a cart 10 s later and two hours of silence. Only the action tells what follows."""
    rows = [
        (f"u{u}", f"i{u % 5}", ("view", "cart")[t % 2], 7_200_000 * (t // 2) + 10_000 * (t % 2))
        for t in range(24)
        for u in range(20)
    ]
    return event_log(rows)


def test_heads_make_the_model_remember_what_they_predict_from() -> None:
    torch.manual_seed(0)
    log = log_of_habits()
    vocabulary = Vocabulary.from_log(log, 1)
    sequences = Sequences.from_log(log, vocabulary)
    model = UserModel(ModelConfig(items=5, actions=2, width=16, hidden=16, heads=True))
    optimizer = AdamW(model.parameters(), 0.02, 0.0)
    for _ in range(60):
        for window in windows(sequences, np.arange(len(sequences)), max_steps=24):
            users = len(window.item)
            optimizer.zero_grad()
            window_loss(
                model, FullSoftmax(), window, model.initial_recurrent_state(users), model.initial_representation(users)
            )
            optimizer.step(1.0, 1.0)
    heads = head_metrics(model, vocabulary, log, sequences)
    assert heads["action"]["accuracy"] > 0.95 > heads["action"]["most_frequent"] + 0.4
    assert heads["time"]["log_mae"] < 0.4
    assert heads["time"]["n"] == len(log) - 20
    assert heads["churn"] == {}, "a log of one day cannot show a whole day of silence"


def test_outputs_of_the_heads_depend_on_one_user_only() -> None:
    model, log = tiny_model(items=5), log_of_habits()
    sequences = Sequences.from_log(log, Vocabulary(items=[f"i{i}" for i in range(5)], actions=["view", "cart"]))
    probability, mixture = head_outputs(model, sequences)
    assert model.heads is not None
    with torch.no_grad():
        for user in (0, 7):
            state, representation = model.initial_state(1), model.initial_representation(1)
            for at in range(int(sequences.starts[user]), int(sequences.starts[user + 1])):
                expected = model.heads.outputs(representation)[0].numpy()[0]
                np.testing.assert_allclose(probability[at], expected, atol=1e-5)
                values = (torch.tensor([int(c[at])]) for c in (sequences.item, sequences.action, sequences.gap_ms))
                state, representation = model.step(*values, state)
                np.testing.assert_allclose(mixture[at], model.heads.outputs(representation)[1].numpy()[0], atol=1e-4)


def test_a_config_without_the_field_has_no_heads() -> None:
    config = msgspec.json.decode(b'{"items": 3, "actions": 2, "cell": "gru"}', type=ModelConfig)
    assert not config.heads
