"""Losses over the catalogue."""

import math

import pytest
import torch
from torch.nn import functional

from encoder.errors import InputError
from encoder.training.losses import next_item as losses
from encoder.training.losses.next_item import (
    FULL_SOFTMAX_MAX_ITEMS,
    LOSSES,
    BPRMax,
    FullSoftmax,
    Loss,
    NegativeSample,
    NegativeSampler,
    SampledSoftmax,
    make_loss,
)
from encoder.training.settings import LOSS_NAMES

ITEMS, WIDTH, ROWS = 30, 5, 4
Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _of(loss: Loss, case: Case) -> torch.Tensor:
    return loss(*case, loss.draw())


@pytest.fixture
def case() -> Case:
    torch.manual_seed(3)
    return torch.randn(ROWS, WIDTH), torch.randn(ITEMS, WIDTH), torch.tensor([0, 7, 7, 29])


def test_each_name_in_the_settings_has_a_loss() -> None:
    assert tuple(LOSSES) == LOSS_NAMES
    with pytest.raises(InputError, match="'hinge' is unknown: use one of auto, softmax"):
        make_loss("hinge", torch.ones(3), 2)


def test_the_default_loss_of_a_large_catalogue_samples_items() -> None:
    assert isinstance(make_loss("auto", torch.ones(FULL_SOFTMAX_MAX_ITEMS), 2), FullSoftmax)
    assert isinstance(make_loss("auto", torch.ones(FULL_SOFTMAX_MAX_ITEMS + 1), 2), SampledSoftmax)


def test_the_sampled_softmax_converges_to_the_full_softmax(case: Case) -> None:
    """The estimate of the sum over the catalogue is unbiased, so that it converges with many samples."""
    counts = torch.arange(ITEMS) ** 2
    full = FullSoftmax()(*case)
    sampled = _of(SampledSoftmax(NegativeSampler(counts, 400_000)), case)
    assert float(sampled) == pytest.approx(float(full), rel=0.01)
    few = torch.stack([_of(SampledSoftmax(NegativeSampler(counts, 20)), case) for _ in range(200)])
    assert float(few.mean()) == pytest.approx(float(full), rel=0.15)
    assert float(few.std()) > 0


def test_negatives_are_sampled_by_their_share() -> None:
    torch.manual_seed(0)
    sample = NegativeSampler(torch.tensor([3, 15, 0]), 70_000).draw()  # the shares are 2 : 4 : 1
    assert sample.position.tolist() == [0, 1, 2]
    assert sample.times.tolist() == pytest.approx([20_000, 40_000, 10_000], rel=0.05)
    assert sample.expected.tolist() == pytest.approx([20_000, 40_000, 10_000], rel=1e-4)


def test_bpr_max_falls_with_the_score_of_the_target_and_the_target_is_no_negative(
    case: Case,
) -> None:
    predicted, vectors, target = case
    loss = BPRMax(NegativeSampler(torch.ones(ITEMS), 500))
    sample = loss.draw()
    before = loss(predicted, vectors, target, sample)
    lifted = vectors.index_add(0, target[:1], 3 * predicted[:1] / predicted[0].norm())
    assert loss(predicted[:1], lifted, target[:1], sample) < before
    two = _of(BPRMax(NegativeSampler(torch.tensor([10**9, 0]), 4)), (predicted[:1], vectors[:2], torch.tensor([1])))
    assert torch.isfinite(two)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_gradients_are_finite(name: str, case: Case) -> None:
    predicted, vectors, target = case
    leaves = (predicted.requires_grad_(), vectors.requires_grad_())
    torch.autograd.backward(_of(make_loss(name, torch.ones(ITEMS), 64), (*leaves, target)))
    assert all(leaf.grad is not None and torch.isfinite(leaf.grad).all() and leaf.grad.any() for leaf in leaves)


def _by_autograd(case: Case, sample: NegativeSample | None) -> list[torch.Tensor]:
    """Return loss and gradients of the same formula by torch's operations in float64."""
    predicted, vectors = (part.detach().double().requires_grad_() for part in case[:2])
    scores, target = predicted @ vectors.T, case[2]
    if sample is None:
        loss = functional.cross_entropy(scores, target, reduction="sum")
    else:
        others = scores[:, sample.position] + torch.log(sample.times / sample.expected)
        others = others.masked_fill(sample.position == target[:, None], -math.inf)
        own = scores.gather(1, target[:, None])
        loss = (torch.cat([own, others], dim=1).logsumexp(dim=1) - own[:, 0]).sum()
    loss.backward()
    assert predicted.grad is not None
    assert vectors.grad is not None
    return [loss.detach(), predicted.grad, vectors.grad]


@pytest.mark.parametrize("name", ["softmax", "sampled"])
@pytest.mark.parametrize("chunk_logits", [1, 60, 10**6])
def test_the_explicit_gradients_are_those_of_autograd(
    name: str, chunk_logits: int, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_LOGITS", chunk_logits)
    monkeypatch.setattr(losses, "CHUNK_ROWS", 1)
    loss = make_loss(name, torch.arange(ITEMS), 40)
    sample = loss.draw()
    predicted, vectors = case[0].requires_grad_(), case[1].requires_grad_()
    value = loss(predicted, vectors, case[2], sample)
    (2 * value).backward()
    expected = _by_autograd(case, sample)
    assert predicted.grad is not None
    assert vectors.grad is not None
    found = [value.detach(), predicted.grad / 2, vectors.grad / 2]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-4)


def test_bpr_max_is_zero_for_a_row_whose_negatives_are_all_its_target(case: Case) -> None:
    predicted, vectors, _ = case
    sample = NegativeSample(torch.tensor([7]), torch.tensor([3.0]), torch.tensor([1.0]))
    loss = BPRMax(NegativeSampler(torch.ones(ITEMS), 3))
    leaf = predicted.requires_grad_()
    both = loss(leaf, vectors, torch.tensor([7, 2, 7, 5]), sample)
    alone = loss(leaf[[1, 3]], vectors, torch.tensor([2, 5]), sample)
    torch.testing.assert_close(both, alone)
    both.backward()
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()
    assert not leaf.grad[[0, 2]].any()
    assert leaf.grad[[1, 3]].any()
    assert loss(predicted[:2], vectors, torch.tensor([7, 7]), sample).item() == 0
