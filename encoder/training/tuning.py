"""A search for settings that suit a log, within a stated time."""

import random
import time
from collections.abc import Callable

import msgspec

from encoder.data.event_log import EventLog
from encoder.training.compute import Compute
from encoder.training.fit import ONE_CPU, SELECTION, best_epoch, validate
from encoder.training.settings import SPACE, TrainingSettings

CHANGED = 2  # settings at most that a try changes of the best so far
# Of the longest try: what the next one may take, and the training on all of the log after it.
RESERVE = 2.5

Epochs = list[dict[str, float]]
Tried = Callable[
    [TrainingSettings, dict[str, float], bool], None
]  # settings, metrics of the best epoch, is best so far


def tune(
    log: EventLog,
    settings: TrainingSettings,
    limit_s: float,
    tried: Tried | None = None,
    clock: Callable[[], float] = time.monotonic,
    compute: Compute = ONE_CPU,
) -> tuple[TrainingSettings, Epochs]:
    """The settings with the best validation score and their epochs, for `train_on_all`.

    Begins with `settings`, then changes one or two values of the best so far at random, until the next try and the
    training on all of the log would not end within limit_s. Only the validation part of `log` decides.

    Raises InputError as `train` does.
    """
    draw = random.Random(settings.seed)
    began_s, longest_s = clock(), 0.0
    best = settings
    best_epochs: Epochs = []
    seen: set[TrainingSettings] = set()
    candidate: TrainingSettings | None = settings
    while candidate is not None:
        seen.add(candidate)
        try_began_s = clock()
        epochs = validate(log, candidate, compute=compute)
        longest_s = max(longest_s, clock() - try_began_s)
        is_best = not best_epochs or _score(epochs) > _score(best_epochs)
        if is_best:
            best, best_epochs = candidate, epochs
        if tried is not None:
            tried(candidate, epochs[best_epoch(epochs)], is_best)
        is_time_left = clock() - began_s + RESERVE * longest_s <= limit_s
        candidate = _neighbour(best, draw, seen) if is_time_left else None
    return best, best_epochs


def _score(epochs: Epochs) -> float:
    return epochs[best_epoch(epochs)][SELECTION]


def _neighbour(settings: TrainingSettings, draw: random.Random, seen: set[TrainingSettings]) -> TrainingSettings | None:
    """Settings not seen yet that differ in at most CHANGED values; None where none is found."""
    for _ in range(100):
        names = draw.sample(sorted(SPACE), draw.randint(1, CHANGED))
        changes = {name: draw.choice(SPACE[name]) for name in names}
        if "width" in changes:
            changes["hidden"] = changes["width"]
        found = msgspec.structs.replace(settings, **changes)
        if found not in seen:
            return found
    return None
