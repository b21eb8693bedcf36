"""A training whose loss is not finite ends with an error, whatever the loss and the cell."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from encoder.data.event_log import EventLog
from encoder.data.simulator import Shop
from encoder.errors import TrainingError
from encoder.training import trainer, tuning
from encoder.training.losses.window_loss import WindowLoss, window_loss
from encoder.training.settings import BATCHING_NAMES, CELL_NAMES, LOSS_NAMES, TrainingSettings
from encoder.training.snapshots import SnapshotFile
from encoder.training.train import train, validate
from encoder.training.validation import Validation
from tests.support.logs import event_log

SMALL = TrainingSettings(width=8, hidden=8, max_epochs=2, events_per_step=64, negatives=16, min_support=1)


@pytest.fixture(scope="module")
def log() -> EventLog:
    return Shop(7, 30, 20).simulate(400)


@pytest.mark.parametrize(("loss", "cell"), list(itertools.product(LOSS_NAMES, CELL_NAMES)))
def test_every_loss_with_every_cell_reports_that_it_diverged(loss: str, cell: str, log: EventLog) -> None:
    settings = msgspec.structs.replace(SMALL, loss=loss, cell=cell, learning_rate=1e30)
    with pytest.raises(TrainingError, match=rf"epoch 1, step \d+: .*{loss!r}.* lower --learning-rate .it was 1e\+30"):
        train(log, settings)


@pytest.mark.parametrize("batching", BATCHING_NAMES)
def test_the_error_names_the_step_and_no_snapshot_holds_it(
    batching: str, log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = itertools.count(1)
    seen: list[int] = []

    def progress(epoch: int, share: float, metrics: dict[str, float] | None) -> None:
        if metrics is None:
            seen.append(epoch)

    def broken(*arguments: Any) -> WindowLoss:
        found = window_loss(*arguments)
        return found._replace(minimised=math.inf) if next(steps) == 12 else found

    monkeypatch.setattr(trainer, "window_loss", broken)
    snapshots = SnapshotFile(tmp_path, {})
    with pytest.raises(TrainingError) as caught:
        train(log, msgspec.structs.replace(SMALL, batching=batching), progress, snapshots=snapshots)
    first = seen.count(0)  # steps of the first epoch
    assert f"epoch 2, step {12 - first}: the loss 'auto' is inf" in str(caught.value)
    found = SnapshotFile(tmp_path, {}).found
    assert found is not None
    assert len(found.validation.epochs) == 1
    weights = {name: part for name, part in found.fit["model"].items() if name != "item_price"}  # NaN: no price
    assert not any(torch.isnan(part).any() for part in weights.values())


def test_weights_that_become_infinite_in_the_last_step_are_noticed(log: EventLog) -> None:
    """With one step an epoch, no later loss can show what the step has done."""
    settings = msgspec.structs.replace(SMALL, events_per_step=100_000, max_epochs=1, learning_rate=1e30)
    with pytest.raises(TrainingError, match="epoch 1, step 1: with the loss 'auto', the scores are not finite"):
        train(log, settings)


@pytest.mark.parametrize(("loss", "batching"), list(itertools.product(LOSS_NAMES, BATCHING_NAMES)))
def test_a_log_of_one_item_has_a_finite_loss(loss: str, batching: str) -> None:
    log = event_log([(f"u{n % 6}", "only", "view", n) for n in range(120)])
    settings = msgspec.structs.replace(SMALL, loss=loss, batching=batching, max_epochs=1)
    (epoch,) = validate(log, settings).epochs
    assert math.isfinite(epoch["loss"])
    assert epoch["recall@20"] == 1


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_one_negative_gives_a_finite_loss(loss: str) -> None:
    log = event_log([(f"u{n % 6}", f"i{n % 3}", "view", n) for n in range(300)])
    trained = train(log, msgspec.structs.replace(SMALL, loss=loss, negatives=1, max_epochs=3))
    assert all(math.isfinite(epoch["loss"]) for epoch in trained.epochs)


def diverging_from(trial: int, log: EventLog) -> Callable[..., Validation]:
    trials = itertools.count()

    def validated(*_: Any, **__: Any) -> Validation:
        if next(trials) >= trial:
            raise TrainingError("diverged")
        return Validation([{"loss": 1.0, "mrr@20": 0.5}], None, np.full(len(log.split(0.9)[1]), 2))

    return validated


@pytest.mark.parametrize("weight_decay", [1.5, 3.0])
def test_a_large_weight_decay_leaves_weights_where_an_epoch_has_one_step(log: EventLog, weight_decay: float) -> None:
    """The search tries these values on every log."""
    settings = msgspec.structs.replace(SMALL, weight_decay=weight_decay, events_per_step=10_000)
    trained = train(log, settings)
    assert all(bool(weights.isfinite().all()) for weights in trained.model.parameters())
    assert trained.model.items.weight.abs().max() > 0


def test_a_search_goes_on_after_a_trial_that_diverged(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[tuple[float | None, bool]] = []
    times = iter(range(100))

    def search() -> TrainingSettings:
        found = tuning.tune(
            log, SMALL, 20, lambda _, score, is_best: results.append((score, is_best)), lambda: next(times)
        )
        return found.settings

    monkeypatch.setattr(tuning, "validate", diverging_from(1, log))
    assert search() == SMALL
    assert results[0] == (0.5, True)
    assert results[1:] == [(None, False)] * (len(results) - 1) != []
    monkeypatch.setattr(tuning, "validate", diverging_from(0, log))
    with pytest.raises(TrainingError):
        search()
