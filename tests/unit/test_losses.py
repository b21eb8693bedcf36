"""Losses over the catalogue."""

import pytest
import torch

from encoder.errors import InputError
from encoder.losses import LOSSES, BPRMax, FullSoftmax, Negatives, SampledSoftmax, make_loss
from encoder.training_settings import LOSS_NAMES

ITEMS, WIDTH, ROWS = 30, 5, 4


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(ROWS, WIDTH), torch.randn(ITEMS, WIDTH), torch.tensor([0, 7, 7, 29])


def test_every_name_has_a_loss() -> None:
    assert tuple(LOSSES) == LOSS_NAMES
    with pytest.raises(InputError, match="'hinge' is unknown; known: softmax"):
        make_loss("hinge", torch.ones(3), 2)


def test_the_sampled_softmax_comes_to_the_full_one(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    """Its sum over the catalogue is unbiased: with many draws it is that of all items, whatever their chances."""
    counts = torch.arange(ITEMS) ** 2
    full = FullSoftmax()(*case)
    sampled = SampledSoftmax(Negatives(counts, 400_000))(*case)
    assert float(sampled) == pytest.approx(float(full), rel=0.01)
    few = torch.stack([SampledSoftmax(Negatives(counts, 20))(*case) for _ in range(200)])
    assert float(few.mean()) == pytest.approx(float(full), rel=0.15)
    assert float(few.std()) > 0


def test_negatives_are_drawn_by_their_share() -> None:
    torch.manual_seed(0)
    drawn, log_expected = Negatives(torch.tensor([3, 15, 0]), 70_000).draw()  # shares 2 : 4 : 1
    counts = torch.bincount(drawn, minlength=3)
    assert counts.tolist() == pytest.approx([20_000, 40_000, 10_000], rel=0.05)
    assert torch.exp(log_expected[drawn == 1][0]) == pytest.approx(40_000, rel=1e-4)


def test_bpr_max_falls_as_the_target_rises_and_counts_no_target_as_its_negative(
    case: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    predicted, vectors, target = case
    loss = BPRMax(Negatives(torch.ones(ITEMS), 500))
    torch.manual_seed(1)
    before = loss(predicted, vectors, target)
    torch.manual_seed(1)
    lifted = vectors.index_add(0, target[:1], 3 * predicted[:1] / predicted[0].norm())
    assert loss(predicted[:1], lifted, target[:1]) < before
    two = BPRMax(Negatives(torch.tensor([10**9, 0]), 4))(predicted[:1], vectors[:2], torch.tensor([1]))
    assert torch.isfinite(two)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_gradients_are_finite(name: str, case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    predicted, vectors, target = case
    leaves = (predicted.requires_grad_(), vectors.requires_grad_())
    torch.autograd.backward(make_loss(name, torch.ones(ITEMS), 64)(*leaves, target))
    assert all(leaf.grad is not None and torch.isfinite(leaf.grad).all() and leaf.grad.any() for leaf in leaves)
