"""Fits what recent items add to their scores, and how sure the scores are, on events that were not trained on.

In training, a model nearly knows the next items by heart. So the model cannot learn there how often users come back to
an item, and its scores are too sure. A conditional logit model (McFadden 1974) of the validation events has few numbers
and learns both: the logit of an item is its dot product times a scale, plus what the item adds as a recent item. The
logarithm of the likelihood is concave in these numbers, so Newton's method finds the best ones. A normal prior keeps
the numbers small when events are few.
"""

import math
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from encoder.data.recent_items import PLACES
from encoder.data.sequences import Sequences
from encoder.model.user_model import UserModel
from encoder.training.evaluation import MAX_SCORES, ScoredEvents, scored_events

MAX_EVENTS = 2_000  # that the fit looks at
MAX_LOGITS = 12_000_000  # of all events over the catalogue, above which the fit looks at fewer events
MIN_EVENTS = 200
PRIOR_DEVIATION = 2.0  # of each number around 0, and of the scale around 1
STEPS = 12  # of Newton's method, at most
STEP_SHARES = (1.0, 0.5, 0.25, 0.125)  # of a step, tried in this order until the likelihood grows
SMALLEST_GAIN = 1e-3  # of the log-likelihood in nats, below which the fit ends
SMALLEST_SCALE = 0.05  # of a model whose dot products say next to nothing; at 0 or below, ranks would turn around
SEED = 0


class Calibration(msgspec.Struct, frozen=True):
    """The scale of dot products, and the numbers of `encoder.model.recent_items.RecentItems`."""

    scale: float
    place: list[float]
    action: list[float]
    age: float
    count: float

    @classmethod
    def of(cls, numbers: Tensor) -> "Calibration":
        """numbers: (1 + K + A + 1 + 2,) float64, in the order of the fields."""
        values = numbers.tolist()
        return cls(values[0], values[1 : 1 + PLACES], values[1 + PLACES : -2], values[-2], values[-1])

    def apply(self, model: UserModel, *, scales: bool) -> None:
        """Give the model these numbers.

        scales: also scale the dot products. Otherwise the ranks are those of a scaled model, and the scores are not.
        """
        if model.recent is None:
            return
        unit = 1.0 if scales else self.scale
        with torch.no_grad():
            for name in ("place", "action", "age", "count"):
                getattr(model.recent, name).copy_(torch.tensor(getattr(self, name)) / unit)
        if scales:
            model.scale_scores(self.scale)


def fit_calibration(model: UserModel, sequences: Sequences, is_scored: NDArray[np.bool_]) -> Calibration | None:
    """The most likely calibration of the model, whose dot products are not yet scaled.

    is_scored: (n,) which events of the sequences count; at most MAX_EVENTS of them, drawn at random with a fixed seed.
    Returns None without such events, for a model without recent items, and where a likelihood is not finite.
    """
    if model.recent is None:
        return None
    known = np.flatnonzero(is_scored & (sequences.item > 0))
    size = min(MAX_EVENTS, max(MIN_EVENTS, MAX_LOGITS // model.config.items))
    if len(known) > size:
        known = np.random.default_rng(SEED).choice(known, size, replace=False)
    chosen = np.zeros(len(is_scored), bool)
    chosen[known] = True
    if not chosen.any():
        return None
    parts = [part for _, part in scored_events(model, sequences, chosen)]
    events = ScoredEvents(*(torch.cat(values) for values in zip(*parts, strict=True)))
    numbers = _prior_mean(model)
    found = _log_likelihood(model, events, numbers)
    for _ in range(STEPS):
        step, before = torch.linalg.solve(found.curvature, found.gradient), found.value
        for share in STEP_SHARES:
            trial = _log_likelihood(model, events, numbers + share * step)
            if trial.value > before:
                numbers, found = numbers + share * step, trial
                break
        if not found.value - before >= SMALLEST_GAIN:
            break
    numbers[0] = max(float(numbers[0]), SMALLEST_SCALE)
    return Calibration.of(numbers) if math.isfinite(found.value) else None


class _Likelihood(NamedTuple):
    """The logarithm of the likelihood of the events and the prior, and its derivatives by the F numbers."""

    value: float
    gradient: Tensor  # (F,) float64
    curvature: Tensor  # (F, F) float64, the negative of the second derivatives


def _prior_mean(model: UserModel) -> Tensor:
    """(1 + K + A + 1 + 2,) float64: a scale of 1 and nothing for recent items."""
    mean = torch.zeros(PLACES + model.config.actions + 4, dtype=torch.float64)
    mean[0] = 1
    return mean


@torch.no_grad()
def _log_likelihood(model: UserModel, events: ScoredEvents, numbers: Tensor) -> _Likelihood:
    """numbers: (F,) float64, in the order of the fields of a calibration."""
    off = numbers - _prior_mean(model)
    value = -0.5 * float(off @ off) / PRIOR_DEVIATION**2
    gradient = -off / PRIOR_DEVIATION**2
    curvature = torch.eye(len(numbers), dtype=torch.float64) / PRIOR_DEVIATION**2
    vectors = model.item_vectors()
    of_recent = numbers[1:].to(vectors)
    rows = max(1, MAX_SCORES // len(vectors))
    for begin in range(0, len(events.item), rows):
        part = events.at(slice(begin, begin + rows))
        scores, features = part.scoring @ vectors.T, _features(part, model.config.actions)
        target, place = part.item[:, None] - 1, (part.recent_item - 1).clamp(min=0)
        logits = float(numbers[0]) * scores
        logits.scatter_add_(1, place, features @ of_recent)
        log_sum = logits.logsumexp(dim=1, keepdim=True)
        value += float((logits.gather(1, target) - log_sum).sum())
        chance = (logits - log_sum).exp()
        # An item's features are its dot product, and those of its place where the item is recent. The gradient is the
        # difference between the actual item's features and their mean over all items. The curvature is their variance.
        recent_chance, recent_score = chance.gather(1, place), scores.gather(1, place)
        is_target = (part.recent_item == part.item[:, None]).to(features)
        mean = torch.cat(
            [(chance * scores).sum(dim=1, keepdim=True), torch.einsum("mk,mkf->mf", recent_chance, features)], dim=1
        )
        actual = torch.cat([scores.gather(1, target), torch.einsum("mk,mkf->mf", is_target, features)], dim=1)
        gradient += (actual - mean).sum(dim=0).double().cpu()
        crossed = torch.einsum("mk,mkf->f", recent_chance * recent_score, features).double().cpu()
        curvature[0, 0] += float((chance * scores.square()).sum())
        curvature[0, 1:] += crossed
        curvature[1:, 0] += crossed
        curvature[1:, 1:] += torch.einsum("mk,mkf,mkg->fg", recent_chance, features, features).double().cpu()
        curvature -= (mean.T @ mean).double().cpu()
    return _Likelihood(value, gradient, curvature)


def _features(part: ScoredEvents, actions: int) -> Tensor:
    """(m, K, F - 1) float32: what each recent item has of each number besides the scale. Empty places have zeros."""
    place = torch.eye(PLACES, device=part.scoring.device).expand(len(part.item), -1, -1)
    action = functional.one_hot(part.recent_action, actions + 1)
    numbers = torch.stack([part.recent_age_s.log1p(), part.recent_count.log1p()], dim=-1)
    features: Tensor = torch.cat([place, action, numbers], dim=-1) * (part.recent_item > 0)[..., None]
    return features
