"""What training makes small: losses over the catalogue, given representations and the items that came.

Each takes predicted (m, D) float32, vectors (N, D) float32 of all items and target (m,) int64 positions in them, and
returns the sum of m losses, in nats for the softmax ones.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from encoder.errors import InputError

NEGATIVE_SHARE = 0.5  # exponent of an item's count in its chance to be drawn (Hidasi & Karatzoglou 2018 call it alpha)
BPR_REGULARIZATION = 1.0


class Loss(Protocol):
    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor) -> Tensor: ...


class FullSoftmax:
    """Cross-entropy over the whole catalogue."""

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(predicted @ vectors.T, target, reduction="sum")


class Negatives:
    """Draws items with replacement, by their counts to the power NEGATIVE_SHARE."""

    def __init__(self, item_counts: Tensor, count: int) -> None:
        """item_counts: (N,) training events of items 1..N; count: M, of negatives that a call draws."""
        self._share = (item_counts.double() + 1) ** NEGATIVE_SHARE
        self._share /= self._share.sum()
        self._cumulative = self._share.cumsum(0)
        self.count = count

    def draw(self) -> tuple[Tensor, Tensor]:
        """(M,) int64 positions of items, (M,) float32 log of how often each is expected among M."""
        chance = torch.rand(self.count, dtype=torch.float64) * self._cumulative[-1]
        drawn = torch.searchsorted(self._cumulative, chance).clamp_(max=len(self._share) - 1)
        return drawn, torch.log(self.count * self._share[drawn]).float()


class SampledSoftmax:
    """Cross-entropy with the catalogue's part estimated from drawn negatives, corrected by their chance (logQ).

    The sum over the catalogue is exp(s of the target), which is always in, plus exp(s) / (M q) of every negative that
    is another item: its expectation is the full sum (Bengio & Senécal 2008, importance sampling). One draw serves all
    of a call's rows.
    """

    def __init__(self, negatives: Negatives) -> None:
        self._negatives = negatives

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
        drawn, log_expected = self._negatives.draw()
        of_target = (predicted * vectors[target]).sum(dim=1, keepdim=True)
        others = predicted @ vectors[drawn].T - log_expected
        others = others.masked_fill(drawn == target[:, None], -math.inf)
        return (torch.cat([of_target, others], dim=1).logsumexp(dim=1) - of_target[:, 0]).sum()


class BPRMax:
    """BPR-max (Hidasi & Karatzoglou 2018): -log of sigmoid(target - negative) averaged by the negatives' softmax, plus
    their squared scores by the same weights."""

    def __init__(self, negatives: Negatives) -> None:
        self._negatives = negatives

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
        drawn, _ = self._negatives.draw()
        of_target = (predicted * vectors[target]).sum(dim=1, keepdim=True)
        others = predicted @ vectors[drawn].T
        same = drawn == target[:, None]
        log_weight = functional.log_softmax(others.masked_fill(same, -math.inf), dim=1)
        better = (log_weight + functional.logsigmoid(of_target - others)).logsumexp(dim=1)
        penalty = (log_weight.exp() * others.square()).sum(dim=1)
        return (BPR_REGULARIZATION * penalty - better).sum()


LOSSES: dict[str, Callable[[Negatives], Loss]] = {
    "softmax": lambda negatives: FullSoftmax(),
    "sampled": SampledSoftmax,
    "bpr-max": BPRMax,
}


def make_loss(name: str, item_counts: Tensor, negatives: int) -> Loss:
    """The loss of that name. Raises InputError where there is none."""
    if name not in LOSSES:
        raise InputError(f"loss {name!r} is unknown; known: {', '.join(LOSSES)}")
    return LOSSES[name](Negatives(item_counts, negatives))
