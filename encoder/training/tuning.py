"""A random local search for settings that suit a log, within a limited time."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from encoder.data.event_log import EventLog
from encoder.errors import TrainingError
from encoder.metrics.averages import mean
from encoder.metrics.ranking import mrr, reciprocal_ranks
from encoder.training.compute import SINGLE_CPU, Compute
from encoder.training.initialization import Initialization
from encoder.training.settings import SEARCH_SPACE, TrainingSettings
from encoder.training.train import FROM_SCRATCH, validate
from encoder.training.validation import Validation

K = 20  # of the MRR that the search compares, as in SELECTION_METRIC
MAX_CHANGES = 2  # settings that a trial changes in the best settings so far
# Time that is reserved for the next trial and for the training on the whole log, in units of the longest trial so far.
RESERVED_TRIALS = 2.5
SIGNIFICANCE = 0.05  # largest p-value with which the best trial replaces the first settings
HALVES_SEED = 0

# (settings, MRR@20 on the first half of the users or None when the trial diverged, whether it is the best so far)
OnTrial = Callable[[TrainingSettings, float | None, bool], None]


class Confirmation(NamedTuple):
    """The best trial and the first settings on the second half of the users, which did not choose the trial."""

    settings: TrainingSettings  # of the best trial
    mrr: float  # MRR@20 of the best trial
    first_mrr: float  # MRR@20 of the first settings
    p: float  # the chance of such a gain or a larger one, if there were none

    @property
    def is_significant(self) -> bool:
        """Whether the best trial replaces the first settings."""
        return self.p <= SIGNIFICANCE


class Search(NamedTuple):
    """The result of a search."""

    settings: TrainingSettings
    validation: Validation  # of these settings, for `train_on_all`
    trials: int
    confirmation: Confirmation | None  # None when no trial was better than the first on the first half of the users


def tune(
    log: EventLog,
    settings: TrainingSettings,
    limit_s: float,
    on_trial: OnTrial | None = None,
    clock: Callable[[], float] = time.monotonic,
    compute: Compute = SINGLE_CPU,
    initialization: Initialization = FROM_SCRATCH,
) -> Search:
    """Search for better settings than `settings`, which stay unless others are better beyond chance.

    The first trial has `settings`. Every further trial changes one or two values of the best settings at random. One
    half of the users of the validation part chooses the best trial. The best of many trials is there by chance as well,
    so the other half decides whether the trial replaces `settings`: by a one-sided t-test of the paired differences of
    reciprocal ranks, summed for each user. The search ends when the next trial and the training on the whole log might
    take longer than limit_s. A trial that diverges is not the best. Raises InputError and, for the first trial,
    TrainingError as `train` does.
    """
    user = np.sort(log.split(1 - settings.validation)[1].user)  # of each rank of a validation
    is_choosing = _is_in_first_half(user)
    generator = random.Random(settings.seed)
    began_s, longest_s = clock(), 0.0
    trials: list[_Trial] = []  # that did not diverge
    seen: set[TrainingSettings] = set()
    candidate: TrainingSettings | None = settings
    while candidate is not None:
        seen.add(candidate)
        trial_began_s, score = clock(), None
        try:
            validation = validate(log, candidate, initialization=initialization, compute=compute)
            score = mrr(validation.ranks[is_choosing], K)
            trials.append(_Trial(candidate, validation, score))
        except TrainingError:
            if not trials:
                raise
        longest_s = max(longest_s, clock() - trial_began_s)
        best = max(trials, key=lambda trial: trial.score)
        if on_trial is not None:
            on_trial(candidate, score, best.settings == candidate)
        is_time_left = clock() - began_s + RESERVED_TRIALS * longest_s <= limit_s
        candidate = _neighbour(best.settings, generator, seen) if is_time_left else None
    confirmation = None if best is trials[0] else _confirm(trials[0], best, user, ~is_choosing)
    kept = best if confirmation is not None and confirmation.is_significant else trials[0]
    return Search(kept.settings, kept.validation, len(seen), confirmation)


class _Trial(NamedTuple):
    settings: TrainingSettings
    validation: Validation
    score: float  # MRR@20 on the first half of the users


def _is_in_first_half(user: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(m,) user of each event -> (m,) whether the user is in the first half, which is drawn with a fixed seed."""
    users, code = np.unique(user, return_inverse=True)
    is_first: NDArray[np.bool_] = np.random.default_rng(HALVES_SEED).permutation(len(users))[code] < len(users) / 2
    return is_first


def _confirm(first: _Trial, best: _Trial, user: NDArray[np.integer], is_confirming: NDArray[np.bool_]) -> Confirmation:
    """user: (m,) of each rank. is_confirming: (m,) which ranks are those of the second half of the users."""
    before, after = (reciprocal_ranks(trial.validation.ranks[is_confirming], K) for trial in (first, best))
    _, code = np.unique(user[is_confirming], return_inverse=True)
    of_user = np.bincount(code, after - before)  # the events of one user depend on each other, users do not
    is_testable = len(of_user) > 1 and of_user.any()
    p = float(ttest_1samp(of_user, 0, alternative="greater").pvalue) if is_testable else 1.0
    return Confirmation(best.settings, mean(after), mean(before), p)


def _neighbour(
    settings: TrainingSettings, generator: random.Random, seen: set[TrainingSettings]
) -> TrainingSettings | None:
    """New settings that differ in at most MAX_CHANGES values, or None when 100 draws find no new settings."""
    for _ in range(100):
        names = generator.sample(sorted(SEARCH_SPACE), generator.randint(1, MAX_CHANGES))
        changes = {name: generator.choice(SEARCH_SPACE[name]) for name in names}
        if "width" in changes:
            changes["hidden"] = changes["width"]
        found = msgspec.structs.replace(settings, **changes)
        if found not in seen:
            return found
    return None
