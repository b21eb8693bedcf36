"""Calibrates the predicted actions on validation events, and learns when to name a rare action.

The logits of the action head are scaled, as far as they differ from the logits of a constant prediction, and each
action gets a number that is added to its logit (vector scaling with one scale, Guo et al. 2017). Both are fitted by
maximum likelihood with a normal prior, which is a concave problem.

A log may consist of one action for the most part. The most probable action is then always the same. The offsets of
`action_offsets` name a rarer action where its probability is far above its share (logit adjustment, Menon et al. 2021).
One number, the exponent of the shares, is learnt: the number with the highest mean F1 of the validation events.
"""

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from encoder.metrics.next_action import class_scores, confusion_matrix
from encoder.training.calibration.minimize import minimize

# Standard deviations of the priors, around a scale of 1 and added numbers of 0.
SCALE_DEVIATION, ADDED_DEVIATION = 0.5, 0.3
ITERATIONS = 20
EXPONENTS = tuple(np.linspace(0, 1, 11).round(1).tolist())


class ActionCalibration(msgspec.Struct, frozen=True):
    """The numbers of this module."""

    scale: float
    added: list[float]  # (A + 1,) of each action, 0 is unknown
    exponent: float  # of the shares in `action_offsets`

    def logits(self, logits: Tensor, shares: Tensor) -> Tensor:
        """(m, A + 1) logits of the action head, (A + 1,) shares of the actions -> (m, A + 1) calibrated logits."""
        base = shares.log()
        return base + self.scale * (logits - base) + torch.tensor(self.added).to(logits)


def action_shares(action: Tensor, actions: int) -> Tensor:
    """(m,) int64 actions -> (A + 1,) float32 share of each action. Each action counts once more than it occurs."""
    counts = torch.bincount(action, minlength=actions + 1).float() + 1
    return counts / counts.sum()


def action_offsets(shares: Tensor, exponent: float) -> list[float]:
    """(A + 1,) shares -> for each of the A known actions, what to add to the logarithm of its probability.

    The action with the largest sum is the decision. The most frequent action has the offset 0.
    """
    log_shares = shares[1:].double().log()
    offsets: list[float] = (exponent * (log_shares.max() - log_shares)).tolist()
    return offsets


def fit_action_calibration(logits: Tensor, action: Tensor, shares: Tensor) -> ActionCalibration:
    """The most likely calibration of m > 0 events that were not trained on.

    logits: (m, A + 1) of the action head. action: (m,) int64. shares: (A + 1,) of the training events.
    """
    base = shares.double().log()
    skill = logits.double() - base
    numbers = torch.zeros(1 + len(base), dtype=torch.float64)
    numbers[0] = 1
    mean = numbers.clone()
    deviation = torch.full_like(numbers, ADDED_DEVIATION)
    deviation[0] = SCALE_DEVIATION
    numbers.requires_grad_()

    def loss() -> Tensor:
        found = functional.cross_entropy(base + numbers[0] * skill + numbers[1:], action, reduction="sum")
        return (found + 0.5 * ((numbers - mean) / deviation).square().sum()) / len(action)

    minimize([numbers], loss, ITERATIONS)
    scale, *added = numbers.detach().tolist()
    calibration = ActionCalibration(max(scale, 0.0), added, 0.0)
    probability = calibration.logits(logits, shares).softmax(dim=1).numpy()
    return msgspec.structs.replace(calibration, exponent=_best_exponent(probability, action.numpy(), shares))


def _best_exponent(probability: NDArray[np.float32], action: NDArray[np.int64], shares: Tensor) -> float:
    """The exponent with the highest mean F1 of the actions that occur; the smallest of equally good ones."""
    scores = []
    for exponent in EXPONENTS:
        confusion = confusion_matrix(probability, action, action_offsets(shares, exponent))
        scores.append(float(np.mean([score["f1"] for score in class_scores(confusion) if score.get("n")])))
    best: float = EXPONENTS[int(np.argmax(scores))]
    return best
