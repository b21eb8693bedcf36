"""Counters of a user's events that decay with real time, in training and in the graphs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from encoder.data.sequences import Sequences
from encoder.model.cells import CELLS
from encoder.model.config import ModelConfig
from encoder.model.counters import COUNT_UNIT, DAY_MS, DIFFERENCE_SCALE, HALF_LIVES_DAYS, Counters
from encoder.model.user_model import UserModel
from export.exporter import export_model
from export.parity import random_sequences
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_model, vocabulary_of


def counts(gaps_ms: list[int]) -> torch.Tensor:
    """Return the counts (K,) after events with these gaps."""
    counters = Counters()
    state = torch.randn(1, counters.state_width)  # the first event starts the counts whatever the state is
    for gap_ms in gaps_ms:
        _, state = counters.step(torch.tensor([gap_ms]), state)
    return state[0, : counters.width] / COUNT_UNIT


def test_a_count_halves_in_its_half_life() -> None:
    for k, days in enumerate(HALF_LIVES_DAYS):
        half_life_ms = round(days * DAY_MS)
        assert counts([-1, 0, 0])[k] == pytest.approx(3)
        assert counts([-1, 0, 0, half_life_ms])[k] == pytest.approx(3 / 2 + 1)
        assert counts([-1, 0, 0, half_life_ms // 2, half_life_ms // 2])[k] == pytest.approx(3 / 2 + 0.5**0.5 + 1)


def test_a_very_long_gap_leaves_zero_and_not_nan() -> None:
    assert counts([-1, 0, 0, 2**62]).tolist() == [1.0] * len(HALF_LIVES_DAYS)


def test_steps_equal_the_sequence_form() -> None:
    torch.manual_seed(0)
    counters = Counters()
    counters.usual += torch.tensor([1.0, 2.0, 3.0])
    gap_ms = torch.exp(torch.rand(3, 300) * 30).long()
    gap_ms[0, 0], gap_ms[1, 7] = -1, -1
    state = torch.rand(3, counters.state_width)
    given, last = counters.sequence(gap_ms, state)
    for t in range(300):
        one, state = counters.step(gap_ms[:, t], state)
        torch.testing.assert_close(one, given[:, t], rtol=0, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-5)


def test_rounding_does_not_swallow_a_thousand_short_gaps() -> None:
    """A plain float32 count loses 1e-5 here, since a gap takes less from the count than half of its last digit."""
    gap_ms, k = 100, np.array(HALF_LIVES_DAYS)
    kept = 0.5 ** (gap_ms / (k * DAY_MS))
    expected = (1 - kept**1001) / (1 - kept)
    assert counts([-1, *[gap_ms] * 1000]).numpy() == pytest.approx(expected, rel=2e-7)


def test_the_usual_counts_are_the_mean_over_events() -> None:
    gap_ms = np.array([-1, 0, 3 * DAY_MS, -1, DAY_MS], np.int64)
    sequences = Sequences(np.array([0, 3, 5]), *(np.ones(5, np.int64),) * 2, gap_ms, np.arange(5), {})
    counters = Counters()
    counters.fit_means(sequences)
    first, _ = counters.sequence(torch.from_numpy(gap_ms[None, :3]), torch.zeros(1, 6))
    second, _ = counters.sequence(torch.from_numpy(gap_ms[None, 3:]), torch.zeros(1, 6))
    torch.testing.assert_close(torch.cat([first, second], dim=1).mean(dim=1), torch.zeros(1, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_representations_end_with_the_counts_and_item_vectors_with_zeros(cell: str, tmp_path: Path) -> None:
    model = tiny_model(9, width=8, cell=cell)
    bundle = export_model(model, vocabulary_of([f"i{n}" for n in range(9)]), tmp_path / "bundle", purchases=())
    k = len(HALF_LIVES_DAYS)
    assert bundle.manifest.representation_width == 8 + k
    assert bundle.manifest.state_width == sum(model.state_widths)
    assert not bundle.item_vectors[:, -k:].any()
    assert bundle.item_vectors[:, :-k].any()
    events = random_sequences(model, seed=1).events.at(slice(3))
    item, action, gap_ms = events.item, events.action, events.gap_ms
    stepper, state = Stepper(bundle), np.tile(bundle.initial_state, (3, 1))
    expected = np.zeros((3, k))
    for t in range(50):
        state, representation = stepper.step(StepInputs(item[:, t], action[:, t], gap_ms[:, t], {}), state)
        kept = 0.5 ** (gap_ms[:, t, None] / (np.array(HALF_LIVES_DAYS) * DAY_MS)) if t else 0
        expected = expected * kept + 1
        month, week, day = np.log(expected).T
        given = np.stack([month, DIFFERENCE_SCALE * (week - month), DIFFERENCE_SCALE * (day - week)], axis=1)
        np.testing.assert_allclose(representation[:, -k:], given - 1.5, atol=1e-5)
        counted = state[:, : model.recurrent_width]
        np.testing.assert_allclose(counted[:, -2 * k : -k] / COUNT_UNIT, expected, rtol=1e-6)


def test_a_model_without_counters_has_no_counts_in_its_representations(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = UserModel(ModelConfig(items=9, actions=3, width=8, hidden=8, traces=True, heads=True)).eval()
    bundle = export_model(model, vocabulary_of([f"i{n}" for n in range(9)]), tmp_path / "bundle", purchases=())
    assert (bundle.manifest.representation_width, bundle.item_vectors.shape) == (8, (10, 8))
    assert not any("counters" in name for name in model.state_dict())
