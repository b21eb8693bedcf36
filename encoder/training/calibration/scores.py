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
from encoder.training.evaluation import ScoredEvents, scored_events

MAX_EVENTS = 2_000  # that the fit looks at
MAX_LOGITS = 12_000_000  # of all events over the catalogue, above which the fit looks at fewer events
MIN_EVENTS = 200
PART_LOGITS = 500_000  # in memory at a time: 2 MB, which stay in a processor's cache
PRIOR_DEVIATION = 2.0  # of each number around 0, and of the scale around 1
# Tried one after another, as long as the likelihood grows. From a scale that is far too large, no step helps.
FIRST_SCALES = (0.4, 0.15, 0.05)
STEPS = 12  # of Newton's method, at most
MAX_HALVINGS = 12  # of a step, until the likelihood grows
FACTOR_STEPS = 3  # of Newton's method, for the factor of all scores
MAX_ACTIONS = 64  # that have numbers of their own; a log with more has none for actions, because a fit would take long
SMALLEST_GAIN = 0.1  # of the log-likelihood in nats, below which the fit ends
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
    def of(cls, numbers: Tensor, actions: int) -> "Calibration":
        """numbers: (F,) float64, in the order of the fields. actions: A."""
        scale, *values = numbers.tolist()
        of_actions = values[PLACES:-2] or [0.0] * (actions + 1)
        return cls(scale, values[:PLACES], of_actions, values[-2], values[-1])

    def numbers(self, actions: int) -> Tensor:
        """(F,) float64, in the order of the fields. actions: A."""
        of_actions = self.action[: _numbers_of_actions(actions)]
        return torch.tensor([self.scale, *self.place, *of_actions, self.age, self.count], dtype=torch.float64)

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


def fit_calibration(
    model: UserModel,
    sequences: Sequences,
    is_scored: NDArray[np.bool_],
    is_trained: NDArray[np.bool_],
    start: Calibration | None = None,
) -> Calibration | None:
    """The most likely calibration of the model, whose dot products are not yet scaled.

    is_scored: (n,) which events of the sequences count; at most MAX_EVENTS of them, drawn at random with a fixed seed.
    is_trained: (N + 1,) which items have training events. start: a calibration of the model a few steps earlier, from
    which the fit takes less time. Returns None without events of known items, for a model without recent items, and
    where a likelihood is not finite.

    All events decide what ranks depend on, because new items that come again tell what repeats. One factor of all
    scores then says how sure the scores are. The first event of a user with a new item does not count there: such an
    item will be outside the catalogue, so no score can be right.
    """
    events = None if model.recent is None else _drawn_events(model, sequences, is_scored)
    if events is None:
        return None
    numbers, value = _most_likely_numbers(model, events, start)
    is_recent = (events.recent_item == events.item[:, None]).any(dim=1)
    can_be_right = torch.from_numpy(is_trained).to(is_recent.device)[events.item] | is_recent
    numbers = numbers * _factor(model, ScoredEvents(*(values[can_be_right] for values in events)), numbers)
    return Calibration.of(numbers, model.config.actions) if math.isfinite(value) else None


def _drawn_events(model: UserModel, sequences: Sequences, is_scored: NDArray[np.bool_]) -> ScoredEvents | None:
    """At most MAX_EVENTS of the scored events, or None where there are none."""
    known = np.flatnonzero(is_scored & (sequences.item > 0))
    size = min(MAX_EVENTS, max(MIN_EVENTS, MAX_LOGITS // model.config.items))
    if len(known) > size:
        known = np.random.default_rng(SEED).choice(known, size, replace=False)
    if not len(known):
        return None
    chosen = np.zeros(len(is_scored), bool)
    chosen[known] = True
    parts = [part for _, part in scored_events(model, sequences, chosen)]
    return ScoredEvents(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _most_likely_numbers(model: UserModel, events: ScoredEvents, start: Calibration | None) -> tuple[Tensor, float]:
    """(F,) float64 numbers with the largest likelihood of the events and the prior, and the logarithm of the latter."""
    numbers = _prior_mean(model) if start is None else start.numbers(model.config.actions)
    found = _log_likelihood(model, events, numbers)
    for scale in FIRST_SCALES if start is None else ():
        moved = torch.cat([torch.tensor([scale], dtype=torch.float64), numbers[1:]])
        trial = _log_likelihood(model, events, moved)
        if not trial.value > found.value:
            break
        numbers, found = moved, trial
    for _ in range(STEPS):
        step, before = _newton_step(found, numbers), found.value
        for halvings in range(MAX_HALVINGS):
            moved = numbers + step / 2**halvings
            moved[0] = moved[0].clamp(min=SMALLEST_SCALE)
            trial = _log_likelihood(model, events, moved)
            if trial.value > before:
                numbers, found = moved, trial
                break
        if not found.value - before >= SMALLEST_GAIN:
            break
    return numbers, found.value


def _factor(model: UserModel, events: ScoredEvents, numbers: Tensor) -> float:
    """The factor of the numbers, and so of all scores, with the largest likelihood of the events.

    Scores are linear in the numbers. So the derivatives by the factor are those by the numbers, along the numbers.
    """
    factor = 1.0
    for _ in range(FACTOR_STEPS if len(events.item) else 0):
        found = _log_likelihood(model, events, factor * numbers)
        step = float(found.gradient @ numbers) / float(numbers @ found.curvature @ numbers)
        factor = min(max(factor + step, factor / 2), 2 * factor)
    return max(factor, SMALLEST_SCALE / float(numbers[0]))


class _Likelihood(NamedTuple):
    """The logarithm of the likelihood of the events and the prior, and its derivatives by the F numbers."""

    value: float
    gradient: Tensor  # (F,) float64
    curvature: Tensor  # (F, F) float64, the negative of the second derivatives


def _newton_step(found: _Likelihood, numbers: Tensor) -> Tensor:
    """(F,) float64, the step to the maximum of the likelihood's second-order expansion.

    The scale stays where it has its smallest value and would become smaller. No curvature is below that of the prior. A
    computed one can be, by rounding of large scores, and would turn the step around.
    """
    is_free = torch.ones(len(numbers), dtype=torch.bool)
    is_free[0] = bool(numbers[0] > SMALLEST_SCALE or found.gradient[0] > 0)
    step = torch.zeros_like(numbers)
    curvatures, directions = torch.linalg.eigh(found.curvature[is_free][:, is_free])
    along = directions.T @ found.gradient[is_free] / curvatures.clamp(min=1 / PRIOR_DEVIATION**2)
    step[is_free] = directions @ along
    return step


def _prior_mean(model: UserModel) -> Tensor:
    """(F,) float64: a scale of 1 and nothing for recent items. F = 1 + K + A + 1 + 2, or 1 + K + 2 for many actions."""
    mean = torch.zeros(1 + PLACES + _numbers_of_actions(model.config.actions) + 2, dtype=torch.float64)
    mean[0] = 1
    return mean


def _numbers_of_actions(actions: int) -> int:
    return actions + 1 if actions <= MAX_ACTIONS else 0


@torch.no_grad()
def _log_likelihood(model: UserModel, events: ScoredEvents, numbers: Tensor) -> _Likelihood:
    """numbers: (F,) float64, in the order of the fields of a calibration."""
    off = numbers - _prior_mean(model)
    value = -0.5 * float(off @ off) / PRIOR_DEVIATION**2
    gradient = -off / PRIOR_DEVIATION**2
    curvature = torch.eye(len(numbers), dtype=torch.float64) / PRIOR_DEVIATION**2
    vectors = model.item_vectors()
    of_recent = numbers[1:].to(vectors)
    rows = max(1, PART_LOGITS // len(vectors))
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
        # Dot products count from their mean, because large ones would leave nothing but rounding of a variance.
        centered = scores - (chance * scores).sum(dim=1, keepdim=True)
        recent_chance, is_target = chance.gather(1, place), (part.recent_item == part.item[:, None]).to(features)
        mean, actual = (torch.einsum("mk,mkf->mf", weight, features) for weight in (recent_chance, is_target))
        gradient[0] += float(centered.gather(1, target).sum())
        gradient[1:] += (actual - mean).sum(dim=0).double().cpu()
        crossed = torch.einsum("mk,mkf->f", recent_chance * centered.gather(1, place), features).double().cpu()
        curvature[0, 0] += float((chance * centered.square()).sum())
        curvature[0, 1:] += crossed
        curvature[1:, 0] += crossed
        second = torch.einsum("mk,mkf,mkg->fg", recent_chance, features, features)
        curvature[1:, 1:] += (second - mean.T @ mean).double().cpu()
    return _Likelihood(value, gradient, curvature)


def _features(part: ScoredEvents, actions: int) -> Tensor:
    """(m, K, F - 1) float32: what each recent item has of each number besides the scale. Empty places have zeros."""
    place = torch.eye(PLACES, device=part.scoring.device).expand(len(part.item), -1, -1)
    action = functional.one_hot(part.recent_action, actions + 1)[..., : _numbers_of_actions(actions)]
    numbers = torch.stack([part.recent_age_s.log1p(), part.recent_count.log1p()], dim=-1)
    features: Tensor = torch.cat([place, action, numbers], dim=-1) * (part.recent_item > 0)[..., None]
    return features
