"""Learning a user model from an event log."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.data.event_log import EventLog
from encoder.data.lanes import lanes
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.data.windows import Window, length_batches, windows
from encoder.errors import InputError
from encoder.metrics.baselines import Baselines
from encoder.metrics.ranking import ranking_metrics
from encoder.model.heads import heads_loss
from encoder.model.user_model import UserModel, read_rows
from encoder.training.compute import Compute
from encoder.training.evaluation import model_ranks
from encoder.training.losses import Loss, make_loss
from encoder.training.optimizer import AdamW, cosine
from encoder.training.settings import TrainingSettings
from encoder.training.start import FromLog, Start
from encoder.training.unfinished import Snapshot, Unfinished

CLIP_NORM = 1.0
SELECTION = "mrr@20"  # the validation metric that chooses the epoch
# Of the heads' loss beside the next item's. Mean validation MRR@20 of seven seeds, 5 epochs: simulated shop of 30,000
# events .2370, without heads .2371; REES46 .1899, without .1876. Three seeds: at 0.2 the shop's fell, at 1 both.
HEADS_WEIGHT = 0.05

FROM_LOG, ONE_CPU = FromLog(), Compute()

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


def train(
    log: EventLog,
    settings: TrainingSettings,
    progress: Progress | None = None,
    *,
    start: Start = FROM_LOG,
    compute: Compute = ONE_CPU,
    unfinished: Unfinished | None = None,
) -> Trained:
    """Train on the first part of a log in time to see, by the rest of it, how many epochs are best; then train anew, on
    all of it, for as many: the newest events tell most about the next ones. The same log, settings and start give the
    same model.

    unfinished: where the training is kept after each epoch, and goes on from, to the same model as without a stop.
    Raises InputError where the log is too short to split, or to know the hours of a week.
    """
    epochs = validate(log, settings, progress, start=start, compute=compute, unfinished=unfinished)
    return train_on_all(log, settings, epochs, progress, start=start, compute=compute, unfinished=unfinished)


def validate(
    log: EventLog,
    settings: TrainingSettings,
    progress: Progress | None = None,
    *,
    start: Start = FROM_LOG,
    compute: Compute = ONE_CPU,
    unfinished: Unfinished | None = None,
) -> list[dict[str, float]]:
    """Train on the first part of a log in time. Returns loss, and metrics on the rest of it, of each epoch.

    Raises InputError as `train` does.
    """
    if unfinished is not None and unfinished.found is not None and unfinished.found.passes:
        return unfinished.found.epochs
    fit, validation = log.split(1 - settings.validation)
    if not len(fit) or not len(validation):
        raise InputError(f"a log of {len(log)} events is too short to train on: give a longer one")
    vocabulary = start.vocabulary(log, settings)
    sequences, whole = Sequences.from_log(fit, vocabulary), Sequences.from_log(log, vocabulary)
    run = _Fit(log, vocabulary, sequences, settings, progress, start, compute, unfinished)
    return run.until_no_better(whole, whole.row >= len(fit))


def best_epoch(epochs: list[dict[str, float]]) -> int:
    """The number, from 0, of the epoch with the best validation score."""
    return max(range(len(epochs)), key=lambda epoch: epochs[epoch][SELECTION])


def train_on_all(
    log: EventLog,
    settings: TrainingSettings,
    epochs: list[dict[str, float]],
    progress: Progress | None = None,
    *,
    start: Start = FROM_LOG,
    compute: Compute = ONE_CPU,
    unfinished: Unfinished | None = None,
) -> Trained:
    """Train on all of a log, for as many epochs as were best in `epochs`, which `validate` returned."""
    vocabulary = start.vocabulary(log, settings)
    whole, best = Sequences.from_log(log, vocabulary), best_epoch(epochs)
    run = _Fit(log, vocabulary, whole, settings, progress, start, compute, unfinished)
    run.passes(best + 1, epochs)
    return Trained(
        run.model.cpu(),
        vocabulary,
        start.baselines(whole, len(vocabulary.items)),
        settings,
        epochs,
        epochs[best],
    )


class _Fit:
    """One run of the optimiser over a model."""

    def __init__(
        self,
        log: EventLog,
        vocabulary: Vocabulary,
        sequences: Sequences,
        settings: TrainingSettings,
        progress: Progress | None,
        start: Start,
        compute: Compute,
        unfinished: Unfinished | None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.model = start.model(log, vocabulary, sequences, settings).to(compute.device)
        if compute.ranks > 1:  # what is drawn from here on is each process's own
            torch.manual_seed(settings.seed + compute.rank)
        self._sequences = sequences
        counts = start.baselines(sequences, len(vocabulary.items)).popularity
        self._loss = make_loss(settings.loss, compute.tensor(counts[1:]), settings.negatives)
        self._settings = settings
        self._progress = progress or (lambda epoch, share, metrics: None)
        self._compute = compute
        self._unfinished = unfinished
        self._random = np.random.default_rng(settings.seed)
        steps = max(1.0, len(sequences.item) / settings.events_per_step)  # of an epoch, roughly
        # A trained model keeps what it learnt from older events as long as if they were in the log.
        decay = settings.weight_decay * counts_share(sequences, counts) / (steps * settings.learning_rate)
        self._optimizer = AdamW(self.model.parameters(), settings.learning_rate * start.rate, decay)
        self.model.read = self._optimizer.read

    def until_no_better(self, whole: Sequences, is_scored: NDArray[np.bool_]) -> list[dict[str, float]]:
        """Train until the validation score stops to improve. Returns loss and validation metrics of each epoch."""
        found = self._go_on(is_validation=True)
        epochs = [] if found is None else found.epochs
        while len(epochs) < self._settings.max_epochs:
            epoch = len(epochs)
            if epochs and epoch - 1 - best_epoch(epochs) >= self._settings.patience:
                break
            loss = self._epoch(epoch, epoch)
            metrics = {"loss": loss, **ranking_metrics(model_ranks(self.model, whole, is_scored))}
            epochs.append(metrics)
            self._keep(epochs, 0)
            self._progress(epoch, 1.0, metrics)
        return epochs

    def passes(self, count: int, epochs: list[dict[str, float]]) -> None:
        """Train for the first `count` epochs of the schedule, and leave the model as it is used. epochs: those that
        came before, for validation."""
        found = self._go_on(is_validation=False)
        for epoch in range(0 if found is None else found.passes, count):
            self._epoch(epoch, len(epochs) + epoch)
            self._keep(epochs, epoch + 1)
        if self._settings.neighbours:
            self.model.lean_on(None)
        self.model.eval()
        self.model.read = read_rows  # a trained model does not hold on to its optimiser

    def _go_on(self, *, is_validation: bool) -> Snapshot | None:
        """Take over what an earlier process left of this run, if it did. is_validation: whether this run is that of
        `until_no_better`."""
        found = None if self._unfinished is None else self._unfinished.found
        if found is None or (found.passes == 0) != is_validation:
            return None
        self.model.load_state_dict(found.fit["model"])
        self._optimizer.take(found.fit["optimizer"])
        self._random.bit_generator.state = found.fit["order"]
        self._compute.set_generators(found.fit["generators"])
        return found

    def _keep(self, epochs: list[dict[str, float]], passes: int) -> None:
        if self._unfinished is None:
            return
        generators = self._compute.generators()
        if self._compute.rank == 0:
            fit = {
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state(),
                "order": self._random.bit_generator.state,
                "generators": generators,
            }
            self._unfinished.keep(Snapshot(epochs, passes, fit))

    def _epoch(self, epoch: int, number: int) -> float:
        """Pass `epoch` of the schedule over all users in random order, shown as pass `number`.

        Returns the mean loss of an event in nats.
        """
        settings, model, compute = self._settings, self.model, self._compute
        model.train()
        total, events, done, places = 0.0, 0, 0.0, len(self._sequences.item)
        state = before = torch.empty(0)
        with compute.draws():
            for window in compute.together(self._windows()):
                self._optimizer.zero_grad()
                known = seen = 0
                if window is not None:
                    state, before = carried(model, window, state, before, compute)
                    loss, known, state, before = window_loss(model, self._loss, window, state, before, compute)
                    total, events, seen = total + loss, events + known, int((window.position >= 0).sum())
                compute.average_gradients(model.parameters(), known)
                known_of_all, seen_of_all = compute.sum(known, seen)
                if known_of_all:
                    self._optimizer.step(cosine((epoch + done / places) / settings.max_epochs), CLIP_NORM)
                done += seen_of_all
                self._progress(number, done / places, None)
            self._optimizer.settle()
        total, known_of_all = compute.sum(total, events)
        return total / max(1, known_of_all)

    def _windows(self) -> Iterator[Window]:
        """This process's part of an epoch, in random order."""
        settings, sequences = self._settings, self._sequences
        rank, ranks = self._compute.rank, self._compute.ranks
        order = self._random.permutation(len(sequences))
        if settings.batching == "parallel":
            count = max(1, settings.events_per_step // settings.window)
            yield from lanes(sequences, order[rank::ranks], count, settings.window)
            return
        groups = length_batches(sequences.lengths[order], settings.events_per_step, settings.window)
        for group in self._random.permutation(len(groups))[rank::ranks]:
            yield from windows(sequences, order[groups[group]], settings.window)


def counts_share(sequences: Sequences, counts: NDArray[np.int64]) -> float:
    """Share that the sequences' known events have of all events that were counted."""
    return float((sequences.item > 0).sum() / max(1, counts.sum()))


def carried(
    model: UserModel, window: Window, state: Tensor, before: Tensor, compute: Compute = ONE_CPU
) -> tuple[Tensor, Tensor]:
    """(B, S) states and (B, R) representations with which a window's users begin, given those after the window before
    it: the initial ones where a user starts here."""
    users = len(window.previous_row)
    first_state, first_before = model.initial_state(users), model.initial_representation(users)
    if window.starts_all_users:
        return first_state, first_before
    row = compute.tensor(window.previous_row)
    starts, row = (row < 0)[:, None], row.clamp(min=0)
    return torch.where(starts, first_state, state[row]), torch.where(starts, first_before, before[row])


def window_loss(
    model: UserModel,
    criterion: Loss,
    window: Window,
    state: Tensor,
    before: Tensor,
    compute: Compute = ONE_CPU,
) -> tuple[float, int, Tensor, Tensor]:
    """Add the gradients of a window's mean loss: that of each known item in the catalogue, under the representation
    before its event, and HEADS_WEIGHT of that of the heads.

    state, before: (B, S) and (B, R) of the users when the window begins. Returns the sum of the items' losses, the
    number of known items, and (B, S) and (B, R) when it ends, cut from the gradient.
    """
    item, action, gap_ms = (compute.tensor(part) for part in (window.item, window.action, window.gap_ms))
    drawn = criterion.draw()
    if drawn is None or compute.ranks > 1:  # gradients of rows that each process reads for itself cannot be averaged
        model.begin_step()
    else:
        model.begin_step(torch.cat([item.flatten(), drawn.position + 1]))
    features = {name: compute.tensor(window.features[name]) for name in model.config.features}
    with compute.half():
        after, state = model.sequence(item, action, gap_ms, state, features)
    after, state = after.float(), state.float()
    known = item > 0
    before_each = torch.cat([before.unsqueeze(1), after[:, :-1]], dim=1)
    target = item[known]
    total = 0.0
    if len(target):
        if drawn is not None:
            drawn = drawn._replace(position=model.place(drawn.position + 1) - 1)
        with compute.half():
            scoring = before_each[known][:, : model.config.width]
            loss = criterion(scoring, model.item_vectors(), model.place(target) - 1, drawn)
        total = float(loss.detach())
        mean = loss / len(target)
        if model.heads is not None:
            mean = mean + HEADS_WEIGHT * heads_loss(model.heads, window, before_each, after)
        torch.autograd.backward(mean)
    return total, len(target), state.detach(), after[:, -1].detach()
