"""A model that uses features of events and items, and items that it learns about only from their content."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from encoder.data.feature_extraction import known_features
from encoder.data.features import BRAND, CATEGORY, EVENT_FEATURES, HOUR_MS, ITEM_FEATURES, PRICE, TIME
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.model.config import ModelConfig
from encoder.model.content import WeekHours
from encoder.model.new_items import extend_catalogue
from encoder.model.user_model import UserModel
from encoder.training.checkpoints import checkpoint
from encoder.training.evaluation import model_ranks
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained, train
from export import parity
from export.exporter import export_model
from export.runtime.bundle import Bundle
from streams.cli import main
from tests.support.content import (
    CONTENT_LOG,
    KINDS,
    kinds_log,
    log_with_content,
    model_with_all_features,
)
from tests.support.logs import event_log

NAN = float("nan")


SMALL = TrainingSettings(width=16, hidden=16, max_epochs=3, events_per_step=64, window=8)


@pytest.fixture(autouse=True, scope="module")
def _short_proof() -> Iterator[None]:
    """Shorten the parity proof of each export, which takes seconds at full length. Tests of parity run all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "STEPS", 100)
        yield


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Train on enough events, with hidden ids, so that the model uses content with any seed.

    Of eight seeds, the worst reached 0.67 and 6 of 9 in the test of new items, which asks for 0.5 and 5.
    """
    return train(kinds_log(6, users=120), msgspec.structs.replace(SMALL, max_epochs=8, id_dropout=0.3))


def favourite_kinds(model: UserModel, vocabulary: Vocabulary, representation: torch.Tensor) -> list[str]:
    """Return for each representation (B, D) the kind whose items have the highest mean score."""
    with torch.no_grad():
        scores = (representation[:, : model.config.width] @ model.item_vectors().T).numpy()
    means = [scores[:, [name.startswith(kind) for name in vocabulary.items]].mean(axis=1) for kind in KINDS]
    return [KINDS[place] for place in np.argmax(means, axis=0).tolist()]


def test_a_model_uses_only_features_that_its_log_has() -> None:
    assert known_features(CONTENT_LOG, Vocabulary.from_log(CONTENT_LOG, 1)) == EVENT_FEATURES
    # The log spans less than a week.
    assert known_features(CONTENT_LOG[:3], Vocabulary.from_log(CONTENT_LOG, 1)) == ITEM_FEATURES
    plain = event_log([(f"u{t % 7}", f"i{t % 3}", "view", t) for t in range(100)])
    config = train(plain, SMALL).model.config
    assert (config.features, config.price_boundaries) == ((), ())
    with pytest.raises(InputError, match="less than a week"):
        train(plain, msgspec.structs.replace(SMALL, week_hours=True))


def test_steps_with_features_equal_the_sequence_form() -> None:
    model = model_with_all_features()
    generator = torch.Generator().manual_seed(1)
    shape = (3, 40)
    item, action = (torch.randint(0, high, shape, generator=generator) for high in (31, 4))
    gap_ms = torch.randint(-1, 10**9, shape, generator=generator)
    features = {
        TIME: torch.randint(0, 10**12, shape, generator=generator),
        CATEGORY: torch.randint(0, 5, shape, generator=generator),
        BRAND: torch.randint(0, 6, shape, generator=generator),
        PRICE: torch.where(torch.rand(shape, generator=generator) < 0.3, NAN, torch.rand(shape) * 120),
    }
    state = model.initial_state(3)
    with torch.no_grad():
        expected, last = model.sequence(item, action, gap_ms, state[:, : model.recurrent_width], features)
        for t in range(shape[1]):
            at = {name: values[:, t] for name, values in features.items()}
            state, representation = model.step(item[:, t], action[:, t], gap_ms[:, t].contiguous(), state, at)
            np.testing.assert_allclose(representation, expected[:, t], rtol=0, atol=1e-5)
    np.testing.assert_allclose(state[:, : model.recurrent_width], last, rtol=0, atol=1e-5)


def test_hours_count_from_monday_in_utc() -> None:
    monday_ms = 1_795_996_800_000  # 2026-11-30 00:00
    rows = WeekHours(4).rows(torch.tensor([monday_ms - 1, monday_ms, monday_ms + 25 * HOUR_MS]))
    assert rows.tolist() == [167, 0, 25]


def test_a_checkpoint_without_fields_of_features_still_loads(tmp_path: Path) -> None:
    log = event_log([(f"u{t % 7}", f"i{t % 3}", "view", t) for t in range(100)])
    checkpoint.save(train(log, SMALL), log, tmp_path)
    content = msgspec.json.decode((tmp_path / "checkpoint.json").read_bytes())
    for name in ("week_hours", "content", "categories", "brands", "price_boundaries", "id_dropout"):
        del content["model"][name]
        content["settings"].pop(name, None)
        content["vocabulary"].pop(name, None)
    (tmp_path / "checkpoint.json").write_bytes(msgspec.json.encode(content))
    assert checkpoint.load(tmp_path).model.config.features == ()


def test_a_loaded_checkpoint_with_content_equals_the_saved_one(trained: Trained, tmp_path: Path) -> None:
    checkpoint.save(trained, kinds_log(6), tmp_path)
    model = checkpoint.load(tmp_path).model
    assert torch.equal(model.item_vectors(), trained.model.item_vectors())


def test_a_new_item_is_ranked_by_its_content(trained: Trained) -> None:
    wider = kinds_log(9)
    model, vocabulary = extend_catalogue(trained.model, trained.vocabulary, wider)
    assert vocabulary.items[: len(trained.vocabulary.items)] == trained.vocabulary.items
    assert sorted(vocabulary.items[len(trained.vocabulary.items) :]) == [f"{k}{n}" for k in KINDS for n in (6, 7, 8)]
    assert torch.equal(model.item_vectors()[: trained.model.config.items], trained.model.item_vectors())
    sequences = Sequences.from_log(wider, vocabulary)
    is_new = (sequences.item > len(trained.vocabulary.items)) & (sequences.history_lengths() > 0)
    ranks = model_ranks(model, sequences, is_new)
    assert (ranks <= 9).mean() > 0.5  # 9 of 27 items are of the kind: 1/3 by chance, 0 by popularity
    kinds = [kind for kind in KINDS for _ in range(3)]
    zeros = torch.zeros(9, 1, dtype=torch.int64)
    new = torch.tensor([vocabulary.items.index(f"{kind}{6 + n % 3}") + 1 for n, kind in enumerate(kinds)])[:, None]
    features = {CATEGORY: zeros, BRAND: zeros, PRICE: torch.full((9, 1), NAN)}
    with torch.no_grad():
        after, _ = model.sequence(new, zeros + 1, zeros - 1, model.initial_recurrent_state(9), features)
    liked = favourite_kinds(model, vocabulary, after[:, 0])
    assert sum(map(str.__eq__, liked, kinds)) >= 5  # a step with a new item also counts; 3 by chance


def test_an_event_of_an_unknown_item_steps_by_its_content(trained: Trained) -> None:
    model, vocabulary = trained.model, trained.vocabulary
    zeros = torch.zeros(3, 1, dtype=torch.int64)
    category = torch.tensor([vocabulary.categories.index(kind) + 1 for kind in KINDS])[:, None]
    features = {CATEGORY: category, BRAND: zeros, PRICE: torch.full((3, 1), NAN)}
    with torch.no_grad():
        after, _ = model.sequence(zeros, zeros + 1, zeros - 1, model.initial_recurrent_state(3), features)
    assert favourite_kinds(model, vocabulary, after[:, 0]) == list(KINDS)


def test_a_new_item_without_content_starts_at_the_unknown_item(trained: Trained) -> None:
    log = log_with_content(
        [("u", "x", "view", 0), ("u", "y", "view", 1)], {"x": (None, None, NAN), "y": ("lamp", "no", NAN)}
    )
    model, vocabulary = extend_catalogue(trained.model, trained.vocabulary, log)
    assert vocabulary.items[-2:] == ["x", "y"]
    own = model.item_table()[-2:] - trained.model.item_table()[:1]
    assert torch.equal(own[:, 0], torch.zeros(2))  # a new item has the mean popularity
    assert 0.1 < float(torch.dist(own[0], own[1]).detach()) < 3  # the two items differ, but not much


def test_an_extended_model_is_exported_with_its_proof(trained: Trained, tmp_path: Path) -> None:
    model, vocabulary = extend_catalogue(trained.model, trained.vocabulary, kinds_log(9))
    made = export_model(model, vocabulary, tmp_path / "b")
    assert made.manifest.items == 27
    assert made.manifest.parity["rank_errors"] == 0
    np.testing.assert_array_equal(made.item_vectors[:, : model.config.width], model.item_table().detach().numpy())


def test_ranks_during_training_are_those_of_the_complete_vectors(trained: Trained) -> None:
    sequences = Sequences.from_log(kinds_log(6), trained.vocabulary)
    expected = model_ranks(trained.model, sequences)
    trained.model.train().begin_step()
    assert model_ranks(trained.model, sequences).tolist() == expected.tolist()


def test_export_adds_the_items_of_a_log(trained: Trained, tmp_path: Path) -> None:
    checkpoint.save(trained, kinds_log(6), tmp_path / "c")
    lines = [msgspec.json.encode(event) for event in kinds_log(9).events()]
    (tmp_path / "shop.jsonl").write_bytes(b"\n".join(lines))
    arguments = ["export", str(tmp_path / "c"), "--items", str(tmp_path / "shop.jsonl"), "--out", str(tmp_path / "b")]
    assert main([*arguments, "--gpu"]) == 0
    made = Bundle.load(tmp_path / "b")
    assert made.has_gpu_graphs
    assert set(made.item_index) == {f"{kind}{n}" for kind in KINDS for n in range(9)}
    assert made.features == ITEM_FEATURES


def test_a_model_without_content_refuses_new_items() -> None:
    model, vocabulary = UserModel(ModelConfig(items=1, actions=1)), Vocabulary(["a"], ["view"])
    with pytest.raises(InputError, match="by their ids alone"):
        extend_catalogue(model, vocabulary, CONTENT_LOG)
