"""Training in lanes: no user sees the events of another user, and training learns as well as with padded batches."""

import msgspec
import numpy as np
import pytest
import torch

from encoder.data.batches.lanes import lanes
from encoder.data.batches.windows import Window
from encoder.data.sequences import Sequences
from encoder.data.simulator import Shop
from encoder.training.losses.next_item import FullSoftmax
from encoder.training.losses.window_loss import carry_over, window_loss
from encoder.training.settings import TrainingSettings
from encoder.training.train import train
from tests.support.bundles import tiny_model
from tests.support.sequences import random_sequences

LANES, STEPS = 5, 16


def in_lanes(sequences: Sequences) -> list[Window]:
    users = np.random.default_rng(0).permutation(len(sequences))
    return list(lanes(sequences, users, LANES, STEPS))


@torch.no_grad()
def test_a_users_states_do_not_depend_on_other_users() -> None:
    sequences = random_sequences()
    model = tiny_model(items=8).eval()
    after = torch.full((len(sequences.item), model.representation_width), torch.nan)
    state = before = torch.empty(0)
    for window in in_lanes(sequences):
        state, before = carry_over(model, window, state, before)
        item, action, gap_ms = (torch.from_numpy(part) for part in (window.item, window.action, window.gap_ms))
        representations, state = model.sequence(item, action, gap_ms, state)
        real = torch.from_numpy(window.position >= 0)
        after[torch.from_numpy(window.position)[real]] = representations[real]
        before = representations[:, -1]
    for user in range(len(sequences)):
        own = slice(int(sequences.starts[user]), int(sequences.starts[user + 1]))
        item, action, gap_ms = (
            torch.from_numpy(part[own])[None] for part in (sequences.item, sequences.action, sequences.gap_ms)
        )
        alone, _ = model.sequence(item, action, gap_ms, model.initial_recurrent_state(1))
        np.testing.assert_allclose(after[own], alone[0], atol=1e-5)


def test_no_gradient_reaches_another_user() -> None:
    """Only the first of two users in a lane has item 1, so that events of the second user give it no gradient."""
    lengths = [3, 4]
    sequences = Sequences(
        starts=np.array([0, 3, 7]),
        item=np.array([1, 1, 1, 2, 3, 2, 3]),
        action=np.ones(7, np.int64),
        gap_ms=np.zeros(7, np.int64),
        row=np.arange(7),
        features={},
    )
    (window,) = lanes(sequences, np.arange(2), 1, STEPS)
    assert [int((row >= 0).sum()) for row in window.position] == lengths
    model = tiny_model(items=8).eval()
    inputs = torch.zeros(2, 4, model.config.width, requires_grad=True)
    state, _ = carry_over(model, window, torch.empty(0), torch.empty(0))
    outputs, _ = model.cell.sequence(inputs, state[:, : model.cell.state_width])
    outputs[1].sum().backward()
    assert inputs.grad is not None
    assert not inputs.grad[0].any()
    assert inputs.grad[1].any()


def test_no_gradient_reaches_the_window_before() -> None:
    sequences = random_sequences(3)
    model = tiny_model(items=8)
    state = before = torch.empty(0)
    for window in lanes(sequences, np.arange(3), 2, 4):
        state, before = carry_over(model, window, state, before)
        _, _, state, before, _ = window_loss(model, FullSoftmax(), window, state, before)
        assert not state.requires_grad
        assert not before.requires_grad


def test_training_in_lanes_learns_as_well() -> None:
    log = Shop(7, 60, 40).simulate(2_000)
    settings = TrainingSettings(width=16, hidden=16, max_epochs=3, events_per_step=128, window=16)
    usual = train(log, settings)
    parallel = train(log, msgspec.structs.replace(settings, batching="parallel"))
    assert parallel.epochs[-1]["loss"] == pytest.approx(usual.epochs[-1]["loss"], rel=0.05)
    assert parallel.epochs[-1]["loss"] < parallel.epochs[0]["loss"] - 0.05
