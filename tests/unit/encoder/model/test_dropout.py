"""Dropout with a random byte for each value."""

import pytest
import torch

from encoder.model.operations.dropout import STEPS, Dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_of_dropped_values_and_the_mean_are_right(share: float) -> None:
    torch.manual_seed(0)
    values = torch.full((500, 401), 2.0, requires_grad=True)
    dropped = Dropout(share)(values)
    is_kept = dropped != 0
    assert 1 - is_kept.float().mean().item() == pytest.approx(share, abs=0.005)
    (scaled,) = dropped[is_kept].unique().tolist()
    assert scaled == pytest.approx(2 / (1 - round(share * STEPS) / STEPS))
    assert dropped.mean().item() == pytest.approx(2, rel=0.03)
    dropped.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, dropped.detach() / 2)


def test_values_of_a_row_are_dropped_independently() -> None:
    torch.manual_seed(0)
    is_kept = (Dropout(0.5)(torch.ones(20_000, 9)) != 0).float()
    assert torch.corrcoef(is_kept.T).fill_diagonal_(0).abs().max() < 0.04


def test_every_step_draws_other_values_and_a_seed_repeats_them() -> None:
    dropout, values = Dropout(0.5), torch.ones(3, 5)
    torch.manual_seed(1)
    first, second = dropout(values), dropout(values)
    torch.manual_seed(1)
    assert not torch.equal(first, second)
    torch.testing.assert_close(dropout(values), first)


def test_nothing_is_dropped_in_use_and_with_a_share_of_zero() -> None:
    values = torch.randn(3, 5)
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0)(values) is values
