"""A random local search for settings that suit a log, within a limited time."""

import random
import time
from collections.abc import Callable

import msgspec

from encoder.data.event_log import EventLog
from encoder.errors import TrainingError
from encoder.training.compute import SINGLE_CPU, Compute
from encoder.training.settings import SEARCH_SPACE, TrainingSettings
from encoder.training.train import validate
from encoder.training.validation import SELECTION_METRIC, Validation, best_epoch

MAX_CHANGES = 2  # settings that a trial changes in the best settings so far
# Time that is reserved for the next trial and for the training on the whole log, in units of the longest trial so far.
RESERVED_TRIALS = 2.5

# (settings, metrics of the best epoch or None when the trial diverged, whether the settings are the best so far)
OnTrial = Callable[[TrainingSettings, dict[str, float] | None, bool], None]


def tune(
    log: EventLog,
    settings: TrainingSettings,
    limit_s: float,
    on_trial: OnTrial | None = None,
    clock: Callable[[], float] = time.monotonic,
    compute: Compute = SINGLE_CPU,
) -> tuple[TrainingSettings, Validation]:
    """The settings with the best validation score, and their validation for `train_on_all`.

    The first trial has `settings`. Every further trial changes one or two values of the best settings at random. The
    search ends when the next trial and the training on the whole log might take longer than limit_s. Only the
    validation part of `log` decides. A trial that diverges is not the best. Raises InputError and, for the first trial,
    TrainingError as `train` does.
    """
    generator = random.Random(settings.seed)
    began_s, longest_s = clock(), 0.0
    best = settings
    best_validation: Validation | None = None
    seen: set[TrainingSettings] = set()
    candidate: TrainingSettings | None = settings
    while candidate is not None:
        seen.add(candidate)
        trial_began_s = clock()
        try:
            validation: Validation | None = validate(log, candidate, compute=compute)
        except TrainingError:
            if best_validation is None:
                raise
            validation = None
        longest_s = max(longest_s, clock() - trial_began_s)
        is_best = False
        if validation is not None and (best_validation is None or _score(validation) > _score(best_validation)):
            is_best, best, best_validation = True, candidate, validation
        if on_trial is not None:
            on_trial(candidate, None if validation is None else _best_metrics(validation), is_best)
        is_time_left = clock() - began_s + RESERVED_TRIALS * longest_s <= limit_s
        candidate = _neighbour(best, generator, seen) if is_time_left else None
    assert best_validation is not None, "the first trial raises where it fails"
    return best, best_validation


def _best_metrics(validation: Validation) -> dict[str, float]:
    return validation.epochs[best_epoch(validation.epochs)]


def _score(validation: Validation) -> float:
    return _best_metrics(validation)[SELECTION_METRIC]


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
