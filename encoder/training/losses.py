"""What training makes small: losses over the catalogue, given representations and the items that came.

Each takes predicted (m, D) float32, vectors (N, D) float32 of items, target (m,) int64 positions in them and the drawn
negatives, and returns the sum of m losses, in nats for the softmax ones. The full softmax needs the vectors of all
items, the others those of the targets and of what was drawn.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from encoder.errors import InputError

NEGATIVE_SHARE = 0.5  # exponent of an item's count in its chance to be drawn (Hidasi & Karatzoglou 2018 call it alpha)
BPR_REGULARIZATION = 1.0
FULL_ITEMS = 5_000  # largest catalogue for which "auto" takes the full softmax: it costs more than all the rest beyond
CHUNK_LOGITS = 4_000_000  # logits held at a time: 16 MB, so that a large catalogue fits into memory


class Drawn(NamedTuple):
    """Negatives of a step, each item once. position: (M,) int64 in ascending order; times: (M,) float32 how often each
    was drawn; expected: (M,) float32 how often each would be in the mean."""

    position: Tensor
    times: Tensor
    expected: Tensor


class Loss(Protocol):
    def draw(self) -> Drawn | None:
        """Negatives for a step, None where all items are."""

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor, drawn: Drawn | None) -> Tensor: ...


class _Softmax(torch.autograd.Function):
    """Cross-entropy of a target against others. Loss and gradients come in one pass over chunks of logits, each turned
    into its own gradient in place: written once, and nothing of events times items is kept for the way back.

    own: (m, D) vectors of the targets; others: (M, D); weight: (M,) factor of each of them in the sum, None for 1; at:
    (m,) which of the others is the target itself and so left out, -1 for none.
    """

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, own: Tensor, others: Tensor, weight: Tensor | None, at: Tensor) -> Tensor:
        rows = max(1, min(len(predicted), CHUNK_LOGITS // len(others)))
        buffer = predicted.new_empty(rows, len(others))
        of_predicted, of_own, of_others = (torch.zeros_like(part) for part in (predicted, own, others))
        of_target = (predicted * own).sum(dim=1, keepdim=True)
        loss = predicted.new_zeros(())
        for begin in range(0, len(predicted), rows):
            part = slice(begin, begin + rows)
            some, score = predicted[part], of_target[part]
            terms = torch.mm(some, others.T, out=buffer[: len(some)])
            is_left_out = at[part] >= 0
            terms[is_left_out, at[part][is_left_out]] = -math.inf
            largest = torch.maximum(terms.amax(dim=1, keepdim=True), score)
            terms.sub_(largest).exp_()
            if weight is not None:
                terms *= weight
            of_score = torch.exp(score - largest)
            total = terms.sum(dim=1, keepdim=True) + of_score
            loss += (total.log() + largest - score).sum()
            terms /= total
            slope = of_score / total - 1
            torch.addmm(slope * own[part], terms, others, out=of_predicted[part])
            torch.mul(slope, some, out=of_own[part])
            of_others.addmm_(terms.T, some)
        ctx.save_for_backward(of_predicted, of_own, of_others)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(part * gradient[0] for part in ctx.saved_tensors), None, None)


class FullSoftmax:
    """Cross-entropy over the whole catalogue."""

    def draw(self) -> None:
        return None

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor, drawn: Drawn | None = None) -> Tensor:
        loss: Tensor = _Softmax.apply(predicted, functional.embedding(target, vectors), vectors, None, target)
        return loss


class Negatives:
    """Draws items with replacement, by their counts to the power NEGATIVE_SHARE."""

    def __init__(self, item_counts: Tensor, count: int) -> None:
        """item_counts: (N,) training events of items 1..N; count: how many a call draws."""
        self.items = len(item_counts)
        self._share = (item_counts.double() + 1) ** NEGATIVE_SHARE
        self._share /= self._share.sum()
        self._cumulative = self._share.cumsum(0)
        self.count = count

    def draw(self) -> Drawn:
        chance = torch.rand(self.count, dtype=torch.float64, device=self._cumulative.device) * self._cumulative[-1]
        drawn = torch.searchsorted(self._cumulative, chance).clamp_(max=len(self._share) - 1)
        position, count = torch.unique(drawn, return_counts=True)
        return Drawn(position, count.float(), (self.count * self._share[position]).float())


class _Sampled:
    """A loss of the targets against negatives that all rows of a step share."""

    def __init__(self, negatives: Negatives) -> None:
        self.draw = negatives.draw


class SampledSoftmax(_Sampled):
    """Cross-entropy with the catalogue's part estimated from drawn negatives, corrected by their chance (logQ).

    The sum over the catalogue is exp(s of the target), which is always in, plus exp(s) / (M q) of every negative that
    is another item: its expectation is the full sum (Bengio & Senécal 2008, importance sampling).
    """

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor, drawn: Drawn | None) -> Tensor:
        assert drawn is not None
        own, others = functional.embedding(target, vectors), functional.embedding(drawn.position, vectors)
        place = torch.searchsorted(drawn.position, target).clamp_(max=len(drawn.position) - 1)
        at = torch.where(drawn.position[place] == target, place, -1)
        loss: Tensor = _Softmax.apply(predicted, own, others, drawn.times / drawn.expected, at)
        return loss


class BPRMax(_Sampled):
    """BPR-max (Hidasi & Karatzoglou 2018): -log of sigmoid(target - negative) averaged by the negatives' softmax, plus
    their squared scores by the same weights."""

    def __call__(self, predicted: Tensor, vectors: Tensor, target: Tensor, drawn: Drawn | None) -> Tensor:
        assert drawn is not None
        of_target = (predicted * vectors[target]).sum(dim=1, keepdim=True)
        others = predicted @ vectors[drawn.position].T
        weighted = others + drawn.times.log()
        log_weight = weighted.masked_fill(drawn.position == target[:, None], -math.inf).log_softmax(dim=1)
        better = (log_weight + functional.logsigmoid(of_target - others)).logsumexp(dim=1)
        penalty = (log_weight.exp() * others.square()).sum(dim=1)
        return (BPR_REGULARIZATION * penalty - better).sum()


LOSSES: dict[str, Callable[[Negatives], Loss]] = {
    "auto": lambda negatives: FullSoftmax() if negatives.items <= FULL_ITEMS else SampledSoftmax(negatives),
    "softmax": lambda negatives: FullSoftmax(),
    "sampled": SampledSoftmax,
    "bpr-max": BPRMax,
}


def make_loss(name: str, item_counts: Tensor, negatives: int) -> Loss:
    """The loss of that name. Raises InputError where there is none."""
    if name not in LOSSES:
        raise InputError(f"loss {name!r} is unknown; known: {', '.join(LOSSES)}")
    return LOSSES[name](Negatives(item_counts, negatives))
