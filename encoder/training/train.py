"""Training of a user model on an event log: first with validation, then on the whole log."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.metrics.baselines import Baselines
from encoder.metrics.followers.companions import Companions
from encoder.metrics.followers.sequential_rules import SequentialRules
from encoder.metrics.hybrid.choice import HybridChoices
from encoder.metrics.ranking import ranking_metrics
from encoder.model.user_model import UserModel
from encoder.training.calibration.hybrid_fit import Counts, choose_hybrid_weights
from encoder.training.compute import SINGLE_CPU, Compute
from encoder.training.initialization import FromScratch, Initialization
from encoder.training.settings import TrainingSettings
from encoder.training.snapshots import SnapshotFile
from encoder.training.trainer import Progress, Trainer
from encoder.training.validation import Validation, best_epoch

FROM_SCRATCH = FromScratch()


@dataclass(frozen=True)
class Trained:
    """A trained model, with everything that is needed to use and to evaluate the model."""

    model: UserModel
    vocabulary: Vocabulary
    baselines: Baselines
    companions: Companions
    settings: TrainingSettings
    epochs: list[dict[str, float]]  # loss and validation metrics of each validated epoch
    metrics: dict[str, float]  # those of the best epoch, by a model that was not trained on the validation part
    # (A,) what to add to the logarithm of each known action's probability where one action is named; or empty
    action_offsets: list[float]
    hybrid: HybridChoices  # weights of hybrid scores, as of `encoder.training.calibration.hybrid_fit`


# A validation ranks the items of at most so many events. A share of a half then has a standard error of .001.
MOST_SCORED = 200_000


def train(
    log: EventLog,
    settings: TrainingSettings,
    progress: Progress | None = None,
    *,
    initialization: Initialization = FROM_SCRATCH,
    compute: Compute = SINGLE_CPU,
    snapshots: SnapshotFile | None = None,
) -> Trained:
    """Train a model twice: on the first part of a log, and then on the whole log.

    The rest of the log is the validation part of the first training, which decides the number of epochs. The second
    training has this number of epochs on the whole log, because the newest events tell most about the next events. The
    same log, settings and initialization give the same model.

    snapshots: stores the training after each epoch. A training that finds a snapshot continues from it, and gives the
    same model as a training that was never stopped. Raises InputError when the log is too short to split, or shorter
    than a week although the settings ask for the hours of the week. Raises TrainingError when the loss is not finite.
    """
    validation = validate(log, settings, progress, initialization=initialization, compute=compute, snapshots=snapshots)
    return train_on_all(
        log, settings, validation, progress, initialization=initialization, compute=compute, snapshots=snapshots
    )


def validate(
    log: EventLog,
    settings: TrainingSettings,
    progress: Progress | None = None,
    *,
    initialization: Initialization = FROM_SCRATCH,
    compute: Compute = SINGLE_CPU,
    snapshots: SnapshotFile | None = None,
) -> Validation:
    """Train on the first part of a log, and validate each epoch on the rest of the log.

    Raises InputError as `train` does.
    """
    if snapshots is not None and snapshots.found is not None and snapshots.found.passes:
        return snapshots.found.validation
    parts = _parts(log, settings, initialization)
    trainer = Trainer(log, parts.vocabulary, parts.training, settings, progress, initialization, compute, snapshots)
    validation = trainer.validate_epochs(parts.whole, parts.is_scored)
    items = len(parts.vocabulary.items)
    counts = Counts(
        initialization.companions(parts.training, items), initialization.baselines(parts.training, items).popularity
    )
    scale = initialization.scale if validation.calibration is None else validation.calibration.scale
    hybrid = choose_hybrid_weights(trainer.model, parts.vocabulary, parts.whole, parts.is_scored, counts, scale)
    return validation._replace(hybrid=hybrid)


def validate_baselines(
    log: EventLog, settings: TrainingSettings, *, initialization: Initialization = FROM_SCRATCH
) -> dict[str, dict[str, float]]:
    """The metrics of rankings that only count, for the events that `validate` scores.

    Returns a key of `encoder.metrics.baselines.BASELINES` -> metrics. Popularity and what followed the last item are
    counted in all events that the model was trained on, and sequential rules in the first part of `log` alone. Raises
    InputError as `train` does.
    """
    parts = _parts(log, settings, initialization)
    whole, is_scored = parts.whole, parts.is_scored
    counts = initialization.baselines(parts.training, len(parts.vocabulary.items))
    item, previous = whole.item[is_scored], whole.previous_item()[is_scored]
    ranks = {
        "popularity": counts.popularity_ranks(item),
        "last_item": counts.last_item_ranks(previous, item),
        "sequential_rules": SequentialRules.count(parts.training, counts.popularity).ranks(whole, is_scored),
    }
    return {name: ranking_metrics(of_baseline) for name, of_baseline in ranks.items()}


class _Parts(NamedTuple):
    """A log for a validation."""

    vocabulary: Vocabulary  # of the whole log
    training: Sequences  # the first part
    whole: Sequences
    is_scored: NDArray[np.bool_]  # (n,) which events of the whole log are validation events


def _parts(log: EventLog, settings: TrainingSettings, initialization: Initialization) -> _Parts:
    training, validation = log.split(1 - settings.validation)
    if not len(training) or not len(validation):
        raise InputError(f"a log of {len(log)} events is too short to train on: give a longer one")
    vocabulary = initialization.vocabulary(log, settings)
    whole = Sequences.from_log(log, vocabulary)
    is_scored = of_some_users(whole, whole.row >= len(training), MOST_SCORED)
    return _Parts(vocabulary, Sequences.from_log(training, vocabulary).without_rows(), whole.without_rows(), is_scored)


def of_some_users(sequences: Sequences, is_scored: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """(n,) bool: the scored events of random users, at most `most` events. Few scored events stay as they are.

    is_scored: (n,) bool. The same sequences give the same users.
    """
    if is_scored.sum() <= most:
        return is_scored
    counts = np.add.reduceat(is_scored, sequences.starts[:-1], dtype=np.int64)
    order = np.random.default_rng(0).permutation(np.flatnonzero(counts))
    is_kept = np.zeros(len(sequences), bool)
    is_kept[order[counts[order].cumsum() <= most]] = True
    kept: NDArray[np.bool_] = is_scored & np.repeat(is_kept, sequences.lengths)
    return kept


def train_on_all(
    log: EventLog,
    settings: TrainingSettings,
    validation: Validation,
    progress: Progress | None = None,
    *,
    initialization: Initialization = FROM_SCRATCH,
    compute: Compute = SINGLE_CPU,
    snapshots: SnapshotFile | None = None,
) -> Trained:
    """Train on the whole log, for the number of epochs that is best according to `validate`."""
    vocabulary = initialization.vocabulary(log, settings)
    whole = Sequences.from_log(log, vocabulary).without_rows()
    trainer = Trainer(log, vocabulary, whole, settings, progress, initialization, compute, snapshots)
    offsets = trainer.train_epochs(validation)
    return Trained(
        trainer.model.cpu(),
        vocabulary,
        initialization.baselines(whole, len(vocabulary.items)),
        initialization.companions(whole, len(vocabulary.items)),
        settings,
        validation.epochs,
        validation.epochs[best_epoch(validation.epochs)],
        offsets,
        validation.hybrid or {},
    )
