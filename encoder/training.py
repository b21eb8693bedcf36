"""Learning a user model from an event log."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.baselines import Baselines
from encoder.errors import InputError
from encoder.evaluation import model_ranks
from encoder.features import TIME, item_features, known_features, price_boundaries
from encoder.heads import heads_loss
from encoder.log import EventLog
from encoder.losses import Loss, make_loss
from encoder.metrics import ranking_metrics
from encoder.model import ModelConfig, UserModel
from encoder.neighbours import Neighbours
from encoder.optimizer import AdamW, cosine
from encoder.sequences import Sequences, Window, batches, windows
from encoder.training_settings import TrainingSettings
from encoder.vocabulary import Vocabulary

CLIP_NORM = 1.0
SELECTION = "mrr@20"  # the validation metric that chooses the epoch
# Of the heads' loss beside the next item's. Mean validation MRR@20 of seven seeds, 5 epochs: simulated shop of 30,000
# events .2370, without heads .2371; REES46 .1899, without .1876. Three seeds: at 0.2 the shop's fell, at 1 both.
HEADS_WEIGHT = 0.05

# Called within and at the end of each epoch: its number from 0, the share of it that is done, its metrics at its end.
# The passes over the whole log have no metrics.
Progress = Callable[[int, float, dict[str, float] | None], None]


@dataclass(frozen=True)
class Trained:
    """A model with what it takes to use and to judge it."""

    model: UserModel
    vocabulary: Vocabulary
    baselines: Baselines
    settings: TrainingSettings
    epochs: list[dict[str, float]]  # loss and validation metrics of each epoch
    metrics: dict[str, float]  # those of the best epoch, by a model that had not seen the validation part


def train(log: EventLog, settings: TrainingSettings, progress: Progress | None = None) -> Trained:
    """Train on the first part of a log in time to see, by the rest of it, how many epochs are best; then train anew, on
    all of it, for as many: the newest events tell most about the next ones. The same log and settings give the same
    model.

    Raises InputError where the log is too short to split, or to know the hours of a week.
    """
    return train_on_all(log, settings, validate(log, settings, progress), progress)


def validate(log: EventLog, settings: TrainingSettings, progress: Progress | None = None) -> list[dict[str, float]]:
    """Train on the first part of a log in time. Returns loss, and metrics on the rest of it, of each epoch.

    Raises InputError as `train` does.
    """
    torch.manual_seed(settings.seed)
    fit, validation = log.split(1 - settings.validation)
    if not len(fit) or not len(validation):
        raise InputError(f"a log of {len(log)} events is too short to train on: give a longer one")
    vocabulary = Vocabulary.of(log, settings.min_support)
    sequences, whole = Sequences.of(fit, vocabulary), Sequences.of(log, vocabulary)
    run = _Fit(_untrained(log, vocabulary, sequences, settings), sequences, settings, progress)
    return run.until_no_better(whole, whole.row >= len(fit))


def best_epoch(epochs: list[dict[str, float]]) -> int:
    """The number, from 0, of the epoch with the best validation score."""
    return max(range(len(epochs)), key=lambda epoch: epochs[epoch][SELECTION])


def train_on_all(
    log: EventLog, settings: TrainingSettings, epochs: list[dict[str, float]], progress: Progress | None = None
) -> Trained:
    """Train on all of a log, for as many epochs as were best in `epochs`, which `validate` returned."""
    torch.manual_seed(settings.seed)
    vocabulary = Vocabulary.of(log, settings.min_support)
    whole, best = Sequences.of(log, vocabulary), best_epoch(epochs)
    run = _Fit(_untrained(log, vocabulary, whole, settings), whole, settings, progress)
    run.epochs(best + 1, len(epochs))
    return Trained(
        run.model,
        vocabulary,
        Baselines.of(whole, len(vocabulary.items)),
        settings,
        epochs,
        epochs[best],
    )


def _untrained(log: EventLog, vocabulary: Vocabulary, sequences: Sequences, settings: TrainingSettings) -> UserModel:
    """A model that ranks by the popularity in the sequences, which are of the log or of a part of it."""
    known = known_features(log, vocabulary)
    if settings.week_hours and TIME not in known:
        raise InputError("the log spans less than a week: train without the hours of the week, or give a longer log")
    items = len(vocabulary.items)
    model = UserModel(
        ModelConfig(
            items=items,
            actions=len(vocabulary.actions),
            cell=settings.cell,
            layers=settings.layers,
            width=settings.width,
            hidden=settings.hidden,
            dropout=settings.dropout,
            traces=settings.traces,
            heads=True,
            week_hours=settings.week_hours,
            content=tuple(name for name in known if name in settings.content),
            categories=len(vocabulary.categories),
            brands=len(vocabulary.brands),
            price_boundaries=price_boundaries(log),
            id_dropout=settings.id_dropout,
        )
    )
    if model.config.content:
        model.know_items(item_features(log, vocabulary))
    model.start_from_popularity(torch.from_numpy(Baselines.of(sequences, items).popularity[1:]))
    if settings.neighbours:
        model.lean_on(Neighbours(sequences, items, settings.width))
    return model


class _Fit:
    """One run of the optimiser over a model."""

    def __init__(
        self, model: UserModel, sequences: Sequences, settings: TrainingSettings, progress: Progress | None
    ) -> None:
        self.model = model
        self._sequences = sequences
        counts = torch.from_numpy(Baselines.of(sequences, model.config.items).popularity[1:])
        self._loss = make_loss(settings.loss, counts, settings.negatives)
        self._settings = settings
        self._progress = progress or (lambda epoch, share, metrics: None)
        self._random = np.random.default_rng(settings.seed)
        steps = max(1.0, len(sequences.item) / settings.events_per_step)  # of an epoch, roughly
        decay = settings.weight_decay / (steps * settings.learning_rate)
        self._optimizer = AdamW(model.parameters(), settings.learning_rate, decay)
        model.read = self._optimizer.read

    def until_no_better(self, whole: Sequences, is_validation: NDArray[np.bool_]) -> list[dict[str, float]]:
        """Train until the validation score stops to improve. Returns loss and validation metrics of each epoch."""
        epochs: list[dict[str, float]] = []
        best = 0
        for epoch in range(self._settings.max_epochs):
            loss = self._epoch(epoch, epoch)
            metrics = {"loss": loss, **ranking_metrics(model_ranks(self.model, whole, is_validation))}
            epochs.append(metrics)
            self._progress(epoch, 1.0, metrics)
            if metrics[SELECTION] > epochs[best][SELECTION]:
                best = epoch
            elif epoch - best >= self._settings.patience:
                break
        return epochs

    def epochs(self, count: int, number: int) -> None:
        """Train for the first `count` epochs of the schedule, and leave the model as it is used. number: of the first
        one, for progress."""
        for epoch in range(count):
            self._epoch(epoch, number + epoch)
        if self._settings.neighbours:
            self.model.lean_on(None)
        self.model.eval()

    def _epoch(self, epoch: int, number: int) -> float:
        """Pass `epoch` of the schedule over all users in random order, shown as pass `number`.

        Returns the mean loss of an event in nats.
        """
        settings, model, sequences = self._settings, self.model, self._sequences
        model.train()
        order = self._random.permutation(len(sequences))
        groups = batches(sequences.lengths[order], settings.events_per_step, settings.window)
        total, events, done = 0.0, 0, 0
        state = before = torch.empty(0)
        for group in self._random.permutation(len(groups)):
            for window in windows(sequences, order[groups[group]], settings.window):
                users = len(window.item)
                if window.is_first:
                    state, before = model.initial_state(users), model.initial_representation(users)
                self._optimizer.zero_grad()
                loss, known, state, before = window_loss(model, self._loss, window, state[:users], before[:users])
                if known:
                    self._optimizer.step(cosine((epoch + done / len(sequences.item)) / settings.max_epochs), CLIP_NORM)
                total, events = total + loss, events + known
                done += int((window.position >= 0).sum())
                self._progress(number, done / len(sequences.item), None)
        self._optimizer.settle()
        return total / max(1, events)


def window_loss(
    model: UserModel, criterion: Loss, window: Window, state: Tensor, before: Tensor
) -> tuple[float, int, Tensor, Tensor]:
    """Add the gradients of a window's mean loss: that of each known item in the catalogue, under the representation
    before its event, and HEADS_WEIGHT of that of the heads.

    state, before: (B, S) and (B, D) of the users when the window begins. Returns the sum of the items' losses, the
    number of known items, and (B, S) and (B, D) when it ends, cut from the gradient.
    """
    item, action, gap_ms = (torch.from_numpy(part) for part in (window.item, window.action, window.gap_ms))
    drawn = criterion.draw()
    model.begin_step(None if drawn is None else torch.cat([item.flatten(), drawn.position + 1]))
    features = {name: torch.from_numpy(window.features[name]) for name in model.config.features}
    after, state = model.sequence(item, action, gap_ms, state, features)
    known = item > 0
    before_each = torch.cat([before.unsqueeze(1), after[:, :-1]], dim=1)
    target = item[known]
    total = 0.0
    if len(target):
        if drawn is not None:
            drawn = drawn._replace(position=model.place(drawn.position + 1) - 1)
        loss = criterion(before_each[known], model.item_vectors(), model.place(target) - 1, drawn)
        total = float(loss.detach())
        mean = loss / len(target)
        if model.heads is not None:
            mean = mean + HEADS_WEIGHT * heads_loss(model.heads, window, before_each, after)
        mean.backward()  # type: ignore[no-untyped-call]
    return total, len(target), state.detach(), after[:, -1].detach()
