"""A checkpoint keeps the companions of items, an older one has none, and a continued training adds newer ones."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.metrics.followers.companions import Companions
from encoder.training.checkpoints import checkpoint
from encoder.training.initialization import FromTrainedModel
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained, train
from export.runtime.bundle import Bundle
from streams import cli
from tests.support.logs import event_log

SMALL = TrainingSettings(width=16, hidden=16, max_epochs=1, events_per_step=64, window=8)


def visits(first: int, users: int = 30) -> EventLog:
    """Return a log in which each user views three of six items, whose names begin with i<first>."""
    rows = [(f"u{u}", f"i{first + (u + t) % 6}", "view", 1_000 * t) for t in range(3) for u in range(users)]
    return event_log(rows)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(visits(0), SMALL)


@pytest.fixture
def saved(trained: Trained, tmp_path: Path) -> Path:
    checkpoint.save(trained, visits(0), tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def assert_same(one: Companions | None, other: Companions) -> None:
    assert one is not None
    for field in dataclasses.fields(Companions):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_companions_are_those_of_the_whole_log_and_reach_the_bundle(trained: Trained, saved: Path) -> None:
    counted = Companions.count(Sequences.from_log(visits(0), trained.vocabulary), 6)
    assert counted.together.sum() == 30 * 6  # ordered pairs of three items in the visit of each user
    assert_same(trained.companions, counted)
    assert_same(checkpoint.load(saved).companions, counted)
    assert cli.main(["export", str(saved), "--out", str(saved.parent / "bundle")]) == 0
    hybrid = Bundle.load(saved.parent / "bundle").hybrid
    assert hybrid is not None


def test_a_checkpoint_of_an_earlier_version_gives_a_bundle_without_hybrid_parts(saved: Path) -> None:
    with np.load(saved / "baselines.npz") as counts:
        earlier = {name: counts[name] for name in ("popularity", "pairs", "pair_counts")}
    np.savez(saved / "baselines.npz", **earlier)
    assert checkpoint.load(saved).companions is None
    assert cli.main(["export", str(saved), "--out", str(saved.parent / "bundle")]) == 0
    bundle = Bundle.load(saved.parent / "bundle")
    assert (bundle.hybrid, bundle.manifest.hybrid) == (None, {})


def test_a_continued_training_adds_the_newer_visits(trained: Trained) -> None:
    newer = visits(3)
    for earlier in (trained.companions, None):
        start = FromTrainedModel(trained.model, trained.vocabulary, trained.baselines, earlier=earlier)
        vocabulary = start.vocabulary(newer, SMALL)
        sequences, items = Sequences.from_log(newer, vocabulary), len(vocabulary.items)
        assert items == 9
        found, alone = start.companions(sequences, items), Companions.count(sequences, items)
        assert_same(found, alone if earlier is None else earlier.widened(items) + alone)
        assert found.together.sum() == 30 * 6 * (1 if earlier is None else 2)
