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
from encoder.training.trainer import SELECTION_METRIC, best_epoch

MAX_CHANGES = 2  # settings that a trial changes in the best settings so far
# Time that is reserved for the next trial and for the training on the whole log, in units of the longest trial so far.
RESERVED_TRIALS = 2.5

Epochs = list[dict[str, float]]
# (settings, metrics of the best epoch or None when the trial diverged, whether the settings are the best so far)
OnTrial = Callable[[TrainingSettings, dict[str, float] | None, bool], None]


def tune(
    log: EventLog,
    settings: TrainingSettings,
    limit_s: float,
    on_trial: OnTrial | None = None,
    clock: Callable[[], float] = time.monotonic,
    compute: Compute = SINGLE_CPU,
) -> tuple[TrainingSettings, Epochs]:
    """The settings with the best validation score, and their epochs for `train_on_all`.

    The first trial has `settings`. Every further trial changes one or two values of the best settings at random. The
    search ends when the next trial and the training on the whole log might take longer than limit_s. Only the
    validation part of `log` decides. A trial that diverges is not the best. Raises InputError and, for the first trial,
    TrainingError as `train` does.
    """
    generator = random.Random(settings.seed)
    began_s, longest_s = clock(), 0.0
    best = settings
    best_epochs: Epochs = []
    seen: set[TrainingSettings] = set()
    candidate: TrainingSettings | None = settings
    while candidate is not None:
        seen.add(candidate)
        trial_began_s = clock()
        try:
            epochs = validate(log, candidate, compute=compute)
        except TrainingError:
            if not best_epochs:
                raise
            epochs = []
        longest_s = max(longest_s, clock() - trial_began_s)
        is_best = bool(epochs) and (not best_epochs or _score(epochs) > _score(best_epochs))
        if is_best:
            best, best_epochs = candidate, epochs
        if on_trial is not None:
            on_trial(candidate, epochs[best_epoch(epochs)] if epochs else None, is_best)
        is_time_left = clock() - began_s + RESERVED_TRIALS * longest_s <= limit_s
        candidate = _neighbour(best, generator, seen) if is_time_left else None
    return best, best_epochs


def _score(epochs: Epochs) -> float:
    return epochs[best_epoch(epochs)][SELECTION_METRIC]


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
