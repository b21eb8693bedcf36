"""The training loop: epochs of optimiser steps over the windows of a log."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.batches.lanes import lanes
from encoder.data.batches.windows import Window, length_batches, windows
from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import TrainingError
from encoder.metrics.ranking import ranking_metrics
from encoder.training.calibration.head_fit import fit_heads, validate_heads
from encoder.training.calibration.scores import fit_calibration
from encoder.training.compute import Compute
from encoder.training.evaluation import gives_finite_scores, model_ranks
from encoder.training.initialization import Initialization
from encoder.training.losses.next_item import make_loss
from encoder.training.losses.window_loss import carry_over, window_loss
from encoder.training.optimizer import AdamW, cosine
from encoder.training.settings import TrainingSettings
from encoder.training.snapshots import Snapshot, SnapshotFile
from encoder.training.validation import Validation, best_epoch

CLIP_NORM = 1.0
MAX_STEP_DECAY = 0.9  # share of a weight that one step takes away at most, where an epoch has a step or two

# Called within an epoch and at the end of an epoch: (number of the epoch from 0, share of the epoch that is done,
# validation metrics at the end or None). An epoch over the whole log has no validation metrics.
Progress = Callable[[int, float, dict[str, float] | None], None]


class Trainer:
    """One run of the optimiser over a new model. The same arguments give the same model."""

    def __init__(
        self,
        log: EventLog,
        vocabulary: Vocabulary,
        sequences: Sequences,
        settings: TrainingSettings,
        progress: Progress | None,
        initialization: Initialization,
        compute: Compute,
        snapshots: SnapshotFile | None,
    ) -> None:
        """sequences: the training events, of the log or of a part of the log."""
        torch.manual_seed(settings.seed)
        self.model = initialization.model(log, vocabulary, sequences, settings).to(compute.device)
        if compute.world_size > 1:  # from here on, each process draws its own random numbers
            torch.manual_seed(settings.seed + compute.rank)
        self._former_scale = initialization.scale
        self._sequences = sequences
        counts = initialization.baselines(sequences, len(vocabulary.items)).popularity
        self._loss = make_loss(settings.loss, compute.tensor(counts[1:]), settings.negatives)
        self._is_trained = counts > 0  # (N + 1,) bool, which items have training events
        self._settings = settings
        self._progress = progress or (lambda epoch, share, metrics: None)
        self._compute = compute
        self._snapshots = snapshots
        self._random = np.random.default_rng(settings.seed)
        steps = max(1.0, len(sequences.item) / settings.events_per_step)  # approximate steps of an epoch
        # The decay is scaled by the share of these events among all events that the model was trained on. A continued
        # training therefore forgets older events no faster than a training on all events.
        step_decay = min(MAX_STEP_DECAY, settings.weight_decay * counted_share(sequences, counts) / steps)
        self._optimizer = AdamW(
            self.model.parameters(),
            settings.learning_rate * initialization.rate,
            step_decay / settings.learning_rate,
        )

    def validate_epochs(self, whole: Sequences, is_scored: NDArray[np.bool_]) -> Validation:
        """Train all epochs, each with a validation.

        whole: the training and validation events. is_scored: (n,) which of these events are validation events.
        """
        snapshot = self._restore(is_validation=True)
        validation = Validation([], None) if snapshot is None else snapshot.validation
        epochs = validation.epochs
        for epoch in range(len(epochs), self._settings.max_epochs):
            loss = self._train_epoch(epoch, epoch, self._settings.max_epochs)
            calibration = fit_calibration(self.model, whole, is_scored, self._is_trained, validation.calibration)
            if calibration is not None:
                calibration.apply(self.model, scales=False)
            ranks = model_ranks(self.model, whole, is_scored)
            metrics = {"loss": loss, **ranking_metrics(ranks)}
            epochs.append(metrics)
            if best_epoch(epochs) == epoch:
                validation = Validation(epochs, calibration, ranks)
            self._save_snapshot(validation, 0)
            self._progress(epoch, 1.0, metrics)
        return validation._replace(heads=validate_heads(self.model, whole, is_scored))

    def train_epochs(self, validation: Validation) -> list[float]:
        """Train as many epochs as were best, without validation, and make the model ready for use.

        The learning rate falls to 0 at their end. validation: the validated epochs, which snapshots contain and which
        count in the progress. Returns the offsets of `encoder.training.calibration.actions.action_offsets`.
        """
        snapshot = self._restore(is_validation=False)
        epochs = validation.epochs
        count = best_epoch(epochs) + 1
        for epoch in range(0 if snapshot is None else snapshot.passes, count):
            self._train_epoch(epoch, len(epochs) + epoch, count)
            self._save_snapshot(validation, epoch + 1)
        if self._settings.neighbours:
            self.model.fold_neighbours()
        if validation.calibration is not None:
            validation.calibration.apply(self.model, scales=True)
        else:
            self.model.scale_all_scores(self._former_scale)
        self.model.eval()
        return fit_heads(self.model, self._sequences, validation.heads)

    def _restore(self, *, is_validation: bool) -> Snapshot | None:
        """Restore the snapshot that an earlier process has left of this run, and return the snapshot.

        is_validation: whether this is the run that validates its epochs, or the run over the whole log.
        """
        snapshot = None if self._snapshots is None else self._snapshots.found
        if snapshot is None or (snapshot.passes == 0) != is_validation:
            return None
        self.model.load_state_dict(snapshot.fit["model"])
        self._optimizer.restore(snapshot.fit["optimizer"])
        self._random.bit_generator.state = snapshot.fit["order"]
        self._compute.restore_random_states(snapshot.fit["generators"])
        return snapshot

    def _save_snapshot(self, validation: Validation, passes: int) -> None:
        if self._snapshots is None:
            return
        generators = self._compute.random_states()
        if self._compute.rank == 0:
            fit = {
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state(),
                "order": self._random.bit_generator.state,
                "generators": generators,
            }
            self._snapshots.save(Snapshot(validation, passes, fit))

    def _train_epoch(self, epoch: int, shown_epoch: int, count: int) -> float:
        """Train epoch `epoch` of a schedule of `count` epochs over all users, in random order.

        shown_epoch: the number of the epoch for the progress. Returns the mean loss of an event in nats. Raises
        TrainingError, in all processes, when the loss, a weight or a score is not finite.
        """
        settings, model, compute = self._settings, self.model, self._compute
        model.train()
        total, events, done, places = 0.0, 0, 0.0, len(self._sequences.item)
        state = representation = torch.empty(0)
        step = 0
        with compute.default_device():
            for step, window in enumerate(compute.equal_steps(self._windows()), 1):
                self._optimizer.zero_grad()
                known = seen = 0
                minimised = 0.0
                if window is not None:
                    state, representation = carry_over(model, window, state, representation, compute)
                    loss, known, state, representation, minimised = window_loss(
                        model, self._loss, window, state, representation, compute, self._optimizer.read_rows
                    )
                    total, events, seen = total + loss, events + known, int((window.position >= 0).sum())
                compute.average_gradients(model.parameters(), known)
                known_of_all, seen_of_all, minimised = compute.sum_over_ranks(known, seen, minimised)
                if not math.isfinite(minimised):
                    raise self._diverged(shown_epoch, step, f"the loss {settings.loss!r} is {minimised}")
                if known_of_all:
                    self._optimizer.step(cosine((epoch + done / places) / count), CLIP_NORM)
                done += seen_of_all
                self._progress(shown_epoch, done / places, None)
            self._optimizer.catch_up()
        is_finite = all(bool(weights.isfinite().all()) for weights in model.parameters())
        if not (is_finite and gives_finite_scores(model, self._sequences)):
            raise self._diverged(shown_epoch, step, f"with the loss {settings.loss!r}, the scores are not finite")
        total, known_of_all = compute.sum_over_ranks(total, events)
        return total / max(1, known_of_all)

    def _diverged(self, shown_epoch: int, step: int, found: str) -> TrainingError:
        return TrainingError(
            f"epoch {shown_epoch + 1}, step {step}: {found}, so the training has diverged and no model is saved; train "
            f"again with a lower --learning-rate (it was {self._settings.learning_rate:g}) or with another --loss"
        )

    def _windows(self) -> Iterator[Window]:
        """Yield this process's part of an epoch, in random order."""
        settings, sequences = self._settings, self._sequences
        rank, world_size = self._compute.rank, self._compute.world_size
        order = self._random.permutation(len(sequences))
        if settings.batching == "parallel":
            count = max(1, settings.events_per_step // settings.window)
            yield from lanes(sequences, order[rank::world_size], count, settings.window)
            return
        batches = length_batches(sequences.lengths[order], settings.events_per_step, settings.window)
        for batch in self._random.permutation(len(batches))[rank::world_size]:
            yield from windows(sequences, order[batches[batch]], settings.window)


def counted_share(sequences: Sequences, counts: NDArray[np.int64]) -> float:
    """The share of the sequences' known events among all events in `counts`. counts: (N + 1,) events of each item."""
    return float((sequences.item > 0).sum() / max(1, counts.sum()))
