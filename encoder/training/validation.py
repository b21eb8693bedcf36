"""What the first of the two trainings finds out on the validation part of a log."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.baselines import BASELINES
from encoder.metrics.hybrid.choice import HybridChoices
from encoder.training.calibration.head_fit import HeadFit
from encoder.training.calibration.scores import Calibration

SELECTION_METRIC = "mrr@20"  # the validation metric that chooses the best epoch
NEAR = 0.02  # relative difference of two scores that counts as chance


class Validation(NamedTuple):
    """The validated epochs of a training."""

    epochs: list[dict[str, float]]  # loss and validation metrics of each epoch
    calibration: Calibration | None  # of the best epoch; None without validation events
    # (m,) of the best epoch: the ranks of the items of the validation events, in the order of the sequences
    ranks: NDArray[np.int64] = np.empty(0, np.int64)
    heads: HeadFit | None = None  # of the last epoch; None without validation events
    hybrid: HybridChoices | None = None  # of the last epoch; None before its end


def best_epoch(epochs: list[dict[str, float]]) -> int:
    """The number, from 0, of the last epoch whose validation score is at most NEAR below the highest score.

    On a small validation part, scores of all epochs are much alike, and chance may put an early epoch first. A training
    of few epochs then ends before the model has learnt rare items.
    """
    scores = [epoch[SELECTION_METRIC] for epoch in epochs]
    return max(epoch for epoch, score in enumerate(scores) if score >= max(scores) * (1 - NEAR))


def counting_warning(
    metrics: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    *,
    is_searched: bool = False,
    lowered_epochs: int | None = None,
) -> str | None:
    """A warning that the model is below a ranking which only counts, or None.

    MRR@20 decides, because it also chooses the epoch. Recall@20 counts where the model is more than NEAR below. The
    warning names the best ranking. metrics: of the best epoch. baselines: a key of BASELINES -> the ranking's metrics.
    is_searched: the settings come from a search. lowered_epochs: the value of --max-epochs where that is below the
    default.
    """
    for metric, tolerance in ((SELECTION_METRIC, 0.0), ("recall@20", NEAR)):
        best = max(baselines, key=lambda name: baselines[name][metric])
        if metrics[metric] < baselines[best][metric] * (1 - tolerance):
            return (
                f"On the validation part, the model's {metric} of {metrics[metric]:.4f} is below the "
                f"{baselines[best][metric]:.4f} that counting alone reaches ({BASELINES[best]}): "
                f"{_remedy(is_searched, lowered_epochs)}"
            )
    return None


def _remedy(is_searched: bool, lowered_epochs: int | None) -> str:
    if lowered_epochs is not None:
        return (
            f"--max-epochs {lowered_epochs} has ended the training early, so train a new model without this option; "
            "where that does not suffice, train on more events"
        )
    search = (
        "give the search for settings (--tune MINUTES) more time"
        if is_searched
        else "let --tune MINUTES search for settings"
    )
    return f"train a new model on more events, or {search}"
