"""What the first of the two trainings finds out on the validation part of a log."""

from typing import NamedTuple

from encoder.training.calibration import Calibration

SELECTION_METRIC = "mrr@20"  # the validation metric that chooses the best epoch
NEAR = 0.02  # relative difference of two scores that counts as chance


class Validation(NamedTuple):
    """The validated epochs of a training."""

    epochs: list[dict[str, float]]  # loss and validation metrics of each epoch
    calibration: Calibration | None  # of the best epoch; None without validation events


def best_epoch(epochs: list[dict[str, float]]) -> int:
    """The number, from 0, of the last epoch whose validation score is at most NEAR below the highest score.

    On a small validation part, scores of all epochs are much alike, and chance may put an early epoch first. A training
    of few epochs then ends before the model has learnt rare items.
    """
    scores = [epoch[SELECTION_METRIC] for epoch in epochs]
    return max(epoch for epoch, score in enumerate(scores) if score >= max(scores) * (1 - NEAR))
