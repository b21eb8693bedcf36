"""Fits the heads on the representations of a trained model, which no longer change.

The heads' loss has a small weight beside the loss of the next item, and a training has few steps. In a small log, the
heads are therefore far from what their representations can tell: docs/decisions.md#heads-are-fitted-after-training. A
fit of the heads alone costs little, because the heads are small, and leaves all ranks as they are.

The fit is used where validation events say that it is better. The heads of the training can be better in a long log
whose representations tell much about the time.

The action and the time get half of the units of the hidden layer each. Their losses are those of
`encoder.model.heads.heads_loss`, and normal priors keep the weights small. The prior of what the time reads from the
scoring part of a representation is narrow. This part nearly knows the training events by heart, and counters tell more
about the time. The prior of the time also says that users who come often come back sooner, which the few users of a
small log cannot tell for sure.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.sequences import Sequences
from encoder.metrics.time_mixture import COMPONENTS
from encoder.model.heads import WIDTH, Heads, log_likelihood
from encoder.model.user_model import UserModel
from encoder.training.calibration.actions import (
    ActionCalibration,
    action_offsets,
    action_shares,
    fit_action_calibration,
)
from encoder.training.calibration.head_events import HeadEvents
from encoder.training.calibration.minimize import minimize

UNITS = WIDTH // 2  # of the hidden layer, for each of action and time
# Precisions (inverse variances) of the priors of weights. Inputs have a variance of 1.
ACTION_PRECISION, TIME_PRECISION = 200.0, 6_000.0  # of weights that read the scoring part of a representation
PRECISION = 20.0  # of weights that read counters or hidden units
COUNTER_DEVIATION = 0.1  # of the first weights that read counters
# The prior of the time: one unit reads the count with the longest half-life with the weight FREQUENCY_WEIGHT, and takes
# SHORTER from the means of the log-normal distributions of visits, for a count that is one deviation above the mean.
FREQUENCY_WEIGHT, SHORTER = 0.3, 0.3
VISITS = slice(COMPONENTS + 2, 2 * COMPONENTS)  # outputs of the time head: the means of the two longest components
ITERATIONS = {"action": 30, "time": 20}
SEED = 0


class _Inputs(NamedTuple):
    """How the components of representations are standardised, (R,) float32 each."""

    mean: Tensor
    deviation: Tensor  # infinite for a component that hardly varies, so that nothing reads the component

    @classmethod
    def of(cls, representation: Tensor) -> "_Inputs":
        deviation = representation.std(dim=0, correction=0)
        return cls(representation.mean(dim=0), torch.where(deviation > 1e-3 * deviation.max(), deviation, torch.inf))

    def __call__(self, representation: Tensor) -> Tensor:
        return (representation - self.mean) / self.deviation


class _Head(nn.Module):
    """One head: standardised representations (m, R) -> a layer of UNITS -> (m, outputs)."""

    def __init__(self, scored: int, width: int, precision: float, bias: Tensor) -> None:
        """scored: D, the first components of R = `width`. bias: (outputs,) the first outputs, of all events."""
        super().__init__()
        self.precisions = torch.full((width,), PRECISION)
        self.precisions[:scored] = precision
        self.hidden, self.out = nn.Linear(width, UNITS), nn.Linear(UNITS, len(bias))
        deviations = torch.full((width,), COUNTER_DEVIATION)
        deviations[:scored] = precision**-0.5
        with torch.no_grad():
            draws = torch.randn(UNITS, width, generator=torch.Generator().manual_seed(SEED))
            self.hidden.weight.copy_(draws * deviations)
            for zero in (self.hidden.bias, self.out.weight):
                zero.zero_()
            self.out.bias.copy_(bias)
        self.centres = torch.zeros(UNITS, width), torch.zeros(len(bias), UNITS)  # of the priors of both weights

    def expect(self, counter: int) -> None:
        """Centre the prior of the time, and its first weights, on shorter times of users with a higher counter."""
        hidden, out = self.centres
        hidden[0, counter], out[VISITS, 0] = FREQUENCY_WEIGHT, -SHORTER / FREQUENCY_WEIGHT
        with torch.no_grad():
            self.hidden.weight[0] = hidden[0]
            self.out.weight.copy_(out)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.out(torch.tanh(self.hidden(inputs)))
        return outputs

    def fit(self, loss: Callable[[], Tensor], events: int, iterations: int) -> bool:
        """Minimise the sum of the events' loss and of the prior's. Returns whether the outcome is finite."""
        layers = self.hidden, self.out

        def mean_loss() -> Tensor:
            hidden, out = (layer.weight - centre for layer, centre in zip(layers, self.centres, strict=True))
            prior = (self.precisions * hidden.square()).sum() + PRECISION * out.square().sum()
            return (loss() + 0.5 * prior) / events

        return minimize(list(self.parameters()), mean_loss, iterations)


class HeadFit(msgspec.Struct, frozen=True):
    """What validation events say about the heads."""

    is_better: bool  # whether fitted heads are better than those of the training
    actions: ActionCalibration  # of the better ones


def validate_heads(model: UserModel, sequences: Sequences, is_scored: NDArray[np.bool_]) -> HeadFit | None:
    """Compare heads that are fitted on the other events with those of the training, on the scored events.

    is_scored: (n,) which events of the sequences were not trained on. The model stays as it is. Returns None for a
    model without heads, and without events of one of both kinds.
    """
    if model.heads is None:
        return None
    events = HeadEvents.of(model, sequences)
    is_left_out = is_scored[events.position]
    if is_left_out.all() or not is_left_out.any():
        return None
    trained, scored = events.at(~is_left_out), events.at(is_left_out)
    inputs = _Inputs.of(trained.after)
    fitted = _fitted(model, trained, inputs)
    with torch.no_grad():
        former = copy.deepcopy(model.heads).cpu()
        logits, time = former(scored.before)[0], former(scored.after)[1]
        loss, is_better = _loss(scored, logits, time), False
        if fitted is not None:
            new_logits, new_time = fitted.action(inputs(scored.before)), fitted.time(inputs(scored.after))
            is_better = _loss(scored, new_logits, new_time) < loss
            logits = new_logits if is_better else logits
    shares = action_shares(trained.action, model.config.actions)
    return HeadFit(is_better, fit_action_calibration(logits, scored.action, shares))


def fit_heads(model: UserModel, sequences: Sequences, found: HeadFit | None) -> list[float]:
    """Make the heads of a trained model ready for use, by a fit on its training events and a calibration.

    found: from `validate_heads`; None leaves the heads as they are. Returns the (A,) offsets of `action_offsets`, or an
    empty list where `found` is None.
    """
    if model.heads is None or found is None:
        return []
    events = HeadEvents.of(model, sequences)
    shares = action_shares(events.action, model.config.actions)
    inputs = _Inputs.of(events.after)
    fitted = _fitted(model, events, inputs) if found.is_better else None
    if fitted is not None:
        _place(model.heads, inputs, fitted)
    _apply(found.actions, model.heads, shares)
    return action_offsets(shares, found.actions.exponent)


class _Fitted(NamedTuple):
    action: _Head
    time: _Head


def _fitted(model: UserModel, events: HeadEvents, inputs: _Inputs) -> _Fitted | None:
    """The heads that are fitted on the events; None where a fit fails."""
    action, time = _fitted_action(model, events, inputs), _fitted_time(model, events, inputs)
    return None if action is None or time is None else _Fitted(action, time)


def _loss(events: HeadEvents, logits: Tensor, time: Tensor) -> float:
    """The sum of the losses of action and time of m events: (m, A + 1) logits, (m, 3K) untransformed mixtures."""
    loss = functional.cross_entropy(logits, events.action, reduction="sum")
    for is_censored, chosen in ((False, ~events.is_censored), (True, events.is_censored)):
        loss = loss - log_likelihood(time[chosen], events.gap_s[chosen], is_censored=is_censored).sum()
    return float(loss)


def _fitted_action(model: UserModel, events: HeadEvents, inputs: _Inputs) -> _Head | None:
    bias = action_shares(events.action, model.config.actions).log()
    head = _Head(model.config.width, model.representation_width, ACTION_PRECISION, bias)
    before = inputs(events.before)

    def loss() -> Tensor:
        return functional.cross_entropy(head(before), events.action, reduction="sum")

    return head if head.fit(loss, len(before), ITERATIONS["action"]) else None


def _fitted_time(model: UserModel, events: HeadEvents, inputs: _Inputs) -> _Head | None:
    width = model.representation_width
    bias = Heads(width, model.config.actions).time.bias.detach()
    head = _Head(model.config.width, width, TIME_PRECISION, bias)
    if width > model.config.width:
        head.expect(model.config.width)
    parts = [
        (is_censored, inputs(events.after[chosen]), events.gap_s[chosen])
        for is_censored, chosen in ((False, ~events.is_censored), (True, events.is_censored))
    ]

    def loss() -> Tensor:
        likelihood = [log_likelihood(head(after), gap_s, is_censored=kind).sum() for kind, after, gap_s in parts]
        return -likelihood[0] - likelihood[1]

    return head if head.fit(loss, len(events.after), ITERATIONS["time"]) else None


@torch.no_grad()
def _place(heads: Heads, inputs: _Inputs, fitted: _Fitted) -> None:
    """Give the heads the fitted weights: each head reads its own units of the hidden layer."""
    weight = torch.cat([head.hidden.weight for head in fitted]) / inputs.deviation
    heads.hidden.weight.copy_(weight)
    heads.hidden.bias.copy_(torch.cat([head.hidden.bias for head in fitted]) - weight @ inputs.mean)
    for number, (layer, head) in enumerate(zip((heads.action, heads.time), fitted, strict=True)):
        layer.weight.zero_()
        layer.weight[:, number * UNITS : (number + 1) * UNITS] = head.out.weight
        layer.bias.copy_(head.out.bias)


@torch.no_grad()
def _apply(calibration: ActionCalibration, heads: Heads, shares: Tensor) -> None:
    """Make the logits of the actions calibrated ones."""
    heads.action.bias.copy_(calibration.logits(heads.action.bias[None].cpu(), shares)[0])
    heads.action.weight *= calibration.scale
