"""A training that is stopped and started again gives the same model as one without a stop."""

from pathlib import Path

import msgspec
import pytest
import torch

from encoder.data.event_log import EventLog
from encoder.data.simulator import Shop
from encoder.metrics.ranking import mrr
from encoder.model.item_table import read_rows
from encoder.training.settings import TrainingSettings
from encoder.training.snapshots import FILE_NAME, SnapshotFile
from encoder.training.train import Trained, train
from encoder.training.validation import best_epoch
from tests.support.models import assert_same_weights

SETTINGS = TrainingSettings(width=16, hidden=16, max_epochs=3, events_per_step=128, loss="sampled", negatives=32)


@pytest.fixture(scope="module")
def log() -> EventLog:
    return Shop(7, 60, 40).simulate(1_500)


@pytest.fixture(scope="module")
def whole(log: EventLog) -> Trained:
    return train(log, SETTINGS)


def kept(folder: Path, settings: TrainingSettings = SETTINGS) -> SnapshotFile:
    return SnapshotFile(folder, {"settings": settings})


def stop_after(stops: int, log: EventLog, folder: Path) -> None:
    """Train, and stop within the epoch after `stops` finished epochs."""

    def progress(epoch: int, share: float, metrics: dict[str, float] | None) -> None:
        if epoch >= stops and share > 0.5 and metrics is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(log, SETTINGS, progress, snapshots=kept(folder))


def test_a_training_that_is_stopped_in_every_epoch_gives_the_same_model(
    log: EventLog, whole: Trained, tmp_path: Path
) -> None:
    epochs = len(whole.epochs) + best_epoch(whole.epochs) + 1
    for stops in range(epochs):  # one stop after another, in both phases of the training
        stop_after(stops, log, tmp_path)
        found = kept(tmp_path).found
        assert (found is None) == (stops == 0)
        if found is not None:
            epochs_so_far, ranks = found.validation.epochs, found.validation.ranks
            assert len(epochs_so_far) + found.passes == stops
            assert mrr(ranks, 20) == epochs_so_far[best_epoch(epochs_so_far)]["mrr@20"]
    torch.rand(5)  # the state of the random generator must not matter
    trained = train(log, SETTINGS, snapshots=kept(tmp_path))
    assert trained.epochs == whole.epochs
    assert trained.action_offsets == whole.action_offsets != []
    assert trained.hybrid == whole.hybrid != {}
    assert_same_weights(trained.model, whole.model)


def test_a_snapshot_of_another_training_is_refused(log: EventLog, tmp_path: Path) -> None:
    stop_after(1, log, tmp_path)
    other = kept(tmp_path, msgspec.structs.replace(SETTINGS, seed=1))
    assert (other.found, other.was_rejected) == (None, True)
    content = torch.load(tmp_path / FILE_NAME)
    del content["ranks"]  # as in a file of a version before
    torch.save(content, tmp_path / FILE_NAME)
    assert (kept(tmp_path).found, kept(tmp_path).was_rejected) == (None, True)
    (tmp_path / FILE_NAME).write_bytes(b"torn")
    assert (kept(tmp_path).found, kept(tmp_path).was_rejected) == (None, True)


def test_a_crash_while_a_snapshot_is_written_leaves_the_last_one(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(1, log, tmp_path)
    before = (tmp_path / FILE_NAME).read_bytes()

    def killed(content: object, file: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    snapshots = kept(tmp_path)
    assert snapshots.found is not None
    with pytest.raises(KeyboardInterrupt):
        snapshots.save(snapshots.found)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_trained_model_has_no_reference_to_its_optimiser(whole: Trained) -> None:
    assert whole.model._step_items.read is read_rows
