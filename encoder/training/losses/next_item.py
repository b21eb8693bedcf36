"""The losses of the next item.

A loss takes m predictions (m, D) float32, the item vectors (N, D) float32, the positions of the m actual items in the
vectors (m,) int64, and a sample of negatives. It returns the sum of the m losses, which is in nats for a softmax. The
full softmax needs the vectors of all items. The other losses need the vectors of the targets and of the negatives.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from encoder.errors import InputError

# The chance of a negative is proportional to its count to the power of this (alpha of Hidasi & Karatzoglou 2018).
COUNT_EXPONENT = 0.5
BPR_REGULARIZATION = 1.0
# Largest catalogue for which "auto" uses the full softmax. In larger ones, the full softmax costs more than all other
# work of a step. See docs/decisions.md#losses.
FULL_SOFTMAX_MAX_ITEMS = 5_000
# A chunk has this many logits (2 MB), which stay in a processor's cache, but no fewer rows, because a product with few
# rows is slow. See docs/decisions.md#losses.
CHUNK_LOGITS, CHUNK_ROWS = 500_000, 128


class NegativeSample(NamedTuple):
    """The M distinct negatives of a step."""

    position: Tensor  # (M,) int64 ascending positions in the item vectors
    times: Tensor  # (M,) float32 how often each negative was drawn
    expected: Tensor  # (M,) float32 how often each negative is drawn on average


class Loss(Protocol):
    """A loss of the next item, as the module describes."""

    def draw(self) -> NegativeSample | None:
        """The negatives of the next step. None: all items are negatives."""

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor, sample: NegativeSample | None) -> Tensor: ...


class _Softmax(torch.autograd.Function):
    """The sum of the cross-entropies of m targets against M other items.

    One pass over chunks of logits computes the loss and the gradients. Each chunk of logits is overwritten by its own
    gradient, so that no (m, M) tensor is kept for the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, predicted: Tensor, own: Tensor, others: Tensor, weight: Tensor | None, target_at: Tensor
    ) -> Tensor:
        """predicted: (m, D). own: (m, D) vectors of the targets. others: (M, D) vectors of the other items.

        weight: (M,) factor of each other item in the sum; None: 1. target_at: (m,) position of the target among the
        other items, which is left out there; -1: the target is not among the other items.
        """
        rows = min(len(predicted), max(CHUNK_ROWS, CHUNK_LOGITS // len(others)))
        buffer = predicted.new_empty(rows, len(others))
        grad_predicted, grad_own, grad_others = (torch.zeros_like(part) for part in (predicted, own, others))
        target_score = (predicted * own).sum(dim=1, keepdim=True)
        loss = predicted.new_zeros(())
        for begin in range(0, len(predicted), rows):
            part = slice(begin, begin + rows)
            some, score = predicted[part], target_score[part]
            terms = torch.mm(some, others.T, out=buffer[: len(some)])
            is_left_out = target_at[part] >= 0
            terms[is_left_out, target_at[part][is_left_out]] = -math.inf
            largest = torch.maximum(terms.amax(dim=1, keepdim=True), score)
            terms.sub_(largest).exp_()
            if weight is not None:
                terms *= weight
            target_term = torch.exp(score - largest)
            total = terms.sum(dim=1, keepdim=True) + target_term
            loss += (total.log() + largest - score).sum()
            terms /= total
            slope = target_term / total - 1
            torch.addmm(slope * own[part], terms, others, out=grad_predicted[part])
            torch.mul(slope, some, out=grad_own[part])
            grad_others.addmm_(terms.T, some)
        ctx.save_for_backward(grad_predicted, grad_own, grad_others)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(part * gradient[0] for part in ctx.saved_tensors), None, None)


class FullSoftmax:
    """The cross-entropy over the whole catalogue."""

    def draw(self) -> None:
        return None

    def __call__(
        self, predicted: Tensor, vectors: Tensor, target: Tensor, sample: NegativeSample | None = None
    ) -> Tensor:
        loss: Tensor = _Softmax.apply(predicted, functional.embedding(target, vectors), vectors, None, target)
        return loss


class NegativeSampler:
    """Draws items with replacement. The chance of an item is proportional to (count + 1) ** COUNT_EXPONENT."""

    def __init__(self, item_counts: Tensor, count: int) -> None:
        """item_counts: (N,) training events of items 1 to N. count: how many items a call draws."""
        self.items = len(item_counts)
        self._share = (item_counts.double() + 1) ** COUNT_EXPONENT
        self._share /= self._share.sum()
        self._cumulative = self._share.cumsum(0)
        self.count = count

    def draw(self) -> NegativeSample:
        """The negatives of the next step."""
        chance = torch.rand(self.count, dtype=torch.float64, device=self._cumulative.device) * self._cumulative[-1]
        drawn = torch.searchsorted(self._cumulative, chance).clamp_(max=len(self._share) - 1)
        position, count = torch.unique(drawn, return_counts=True)
        return NegativeSample(position, count.float(), (self.count * self._share[position]).float())


class _Sampled:
    """The base of losses against a sample of negatives. All events of a step share the negatives."""

    def __init__(self, negatives: NegativeSampler) -> None:
        self.draw = negatives.draw


class SampledSoftmax(_Sampled):
    """The cross-entropy with a sampled sum over the catalogue, corrected for the chance of each negative (logQ).

    The sum is exp(s) of the target plus exp(s) / (M q) of each negative that is another item, where s is the score and
    q is the chance of the negative. The expectation of this sum is the full sum (importance sampling, Bengio & Senécal
    2008).
    """

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor, sample: NegativeSample | None) -> Tensor:
        assert sample is not None
        own, others = functional.embedding(target, vectors), functional.embedding(sample.position, vectors)
        place = torch.searchsorted(sample.position, target).clamp_(max=len(sample.position) - 1)
        target_at = torch.where(sample.position[place] == target, place, -1)
        loss: Tensor = _Softmax.apply(predicted, own, others, sample.times / sample.expected, target_at)
        return loss


class BPRMax(_Sampled):
    """BPR-max (Hidasi & Karatzoglou 2018).

    The loss is -log of the mean of sigmoid(target score - negative score) over the negatives, plus a penalty on the
    negatives' squared scores. The weights of both means are the softmax of the negatives' scores. An event whose drawn
    negatives are all its own item has no pair to compare, and its loss is 0.
    """

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor, sample: NegativeSample | None) -> Tensor:
        assert sample is not None
        target_score = (predicted * vectors[target]).sum(dim=1, keepdim=True)
        others = predicted @ vectors[sample.position].T
        weighted = others + sample.times.log()
        is_target = sample.position == target[:, None]
        has_pair = ~is_target.all(dim=1)
        # A row without a pair keeps its scores, because the softmax of a row of -inf is not a number.
        log_weight = weighted.masked_fill(is_target & has_pair[:, None], -math.inf).log_softmax(dim=1)
        better = (log_weight + functional.logsigmoid(target_score - others)).logsumexp(dim=1)
        penalty = (log_weight.exp() * others.square()).sum(dim=1)
        return torch.where(has_pair, BPR_REGULARIZATION * penalty - better, 0.0).sum()


LOSSES: dict[str, Callable[[NegativeSampler], Loss]] = {
    "auto": lambda negatives: FullSoftmax() if negatives.items <= FULL_SOFTMAX_MAX_ITEMS else SampledSoftmax(negatives),
    "softmax": lambda negatives: FullSoftmax(),
    "sampled": SampledSoftmax,
    "bpr-max": BPRMax,
}


def make_loss(name: str, item_counts: Tensor, negatives: int) -> Loss:
    """The loss with this name. item_counts: (N,) training events. negatives: how many items a sampled loss draws.

    Raises InputError when the name is unknown.
    """
    if name not in LOSSES:
        raise InputError(f"loss {name!r} is unknown: use one of {', '.join(LOSSES)}")
    return LOSSES[name](NegativeSampler(item_counts, negatives))
