"""A model with item embeddings: what it learns about items from them, and what stays as it was without them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.model.config import ModelConfig
from encoder.model.new_items import extend_catalogue
from encoder.model.user_model import UserModel
from encoder.training.checkpoints import checkpoint
from encoder.training.evaluation import model_ranks
from encoder.training.initialization import FromScratch, FromTrainedModel
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained, train
from export import parity
from export.exporter import export_model
from tests.support.content import KINDS, kinds_embeddings, kinds_log, model_with_all_features

SMALL = TrainingSettings(
    width=16, hidden=16, max_epochs=8, events_per_step=64, window=8, id_dropout=0.3, content=(), loss="sampled"
)


def log_of_ids(items: int, users: int = 120) -> EventLog:
    """Return a `kinds_log` whose events tell nothing about the items but their ids."""
    log = kinds_log(items, users)
    nothing = np.full(len(log), -1, np.int32)
    return replace(log, categories=[], category=nothing, attributes={}, price=np.full(len(log), np.nan))


@pytest.fixture(autouse=True, scope="module")
def _short_proof() -> Iterator[None]:
    """Shorten the parity proof of each export, which takes seconds at full length. Tests of parity run all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "STEPS", 100)
        yield


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(log_of_ids(6), SMALL, initialization=FromScratch((kinds_embeddings(6),)))


def test_a_new_item_is_ranked_by_its_embedding(trained: Trained) -> None:
    assert trained.model.content is None
    wider = log_of_ids(9)
    model, vocabulary = extend_catalogue(trained.model, trained.vocabulary, wider, [kinds_embeddings(9)])
    known = len(trained.vocabulary.items)
    assert torch.equal(model.item_vectors()[:known], trained.model.item_vectors())
    sequences = Sequences.from_log(wider, vocabulary)
    is_new = (sequences.item > known) & (sequences.history_lengths() > 0)
    ranks = model_ranks(model, sequences, is_new)
    assert (ranks <= 9).mean() > 0.7  # 9 of 27 items are of the kind
    without, _ = extend_catalogue(trained.model, trained.vocabulary, wider)
    assert (model_ranks(without, sequences, is_new) <= 9).mean() < 0.5


def test_an_item_without_an_embedding_has_the_vector_of_its_id(trained: Trained) -> None:
    log = log_of_ids(9)
    names = ["cup6", "pot7"]
    embeddings = kinds_embeddings(9)
    some = ItemEmbeddings("text", names, embeddings.vectors[[6, 16]])
    model, vocabulary = extend_catalogue(trained.model, trained.vocabulary, log, [some])
    added = (model.item_table() - model.items.weight).detach().abs().sum(dim=1)
    new = {name: bool(added[place] > 0) for place, name in enumerate(vocabulary.items, 1) if place > 18}
    assert {name for name, has_embedding in new.items() if has_embedding} == set(names)
    assert float(added[0]) == 0


def test_embeddings_change_nothing_before_training_and_nothing_for_unknown_items() -> None:
    log, settings = log_of_ids(6), msgspec.structs.replace(SMALL, neighbours=False)
    vocabulary = FromScratch().vocabulary(log, settings)
    sequences = Sequences.from_log(log, vocabulary)
    models = []
    for start in (FromScratch(), FromScratch((kinds_embeddings(6),))):
        torch.manual_seed(0)
        models.append(start.model(log, vocabulary, sequences, settings).eval())
    torch.testing.assert_close(models[0].item_table(), models[1].item_table())
    assert models[1].embeddings is not None
    torch.nn.init.normal_(models[1].embeddings.weight)
    zeros = torch.zeros(2, 3, dtype=torch.int64)
    before, after = (model.sequence(zeros, zeros, zeros, model.initial_recurrent_state(2))[0] for model in models)
    torch.testing.assert_close(before, after)


def test_a_step_with_some_items_has_their_embeddings() -> None:
    model = model_with_all_features()
    model.config = msgspec.structs.replace(model.config, id_dropout=1.0)
    assert model.content is not None
    assert model.embeddings is not None
    added = model.embeddings()
    model.train()
    model.content.eval()  # evaluation mode hides no feature
    model.begin_step(torch.tensor([4, 17]))
    with_embeddings = model.item_table()
    model.embeddings = None
    torch.testing.assert_close(with_embeddings - model.item_table(), added[[0, 4, 17]])
    assert bool((added[[4]] != 0).all())
    assert bool((added[[0, 17]] == 0).all())


def test_a_checkpoint_and_a_bundle_hold_the_embeddings(trained: Trained, tmp_path: Path) -> None:
    checkpoint.save(trained, log_of_ids(6), tmp_path / "c")
    model = checkpoint.load(tmp_path / "c").model
    assert torch.equal(model.item_table(), trained.model.item_table())
    model, vocabulary = extend_catalogue(model, trained.vocabulary, log_of_ids(9), [kinds_embeddings(9)])
    made = export_model(model, vocabulary, tmp_path / "b")
    assert made.manifest.features == ()
    assert made.manifest.parity["rank_errors"] == 0
    np.testing.assert_array_equal(made.item_vectors[:, : model.config.width], model.item_table().detach().numpy())


def test_a_continued_training_keeps_known_embeddings_and_takes_new_ones(trained: Trained) -> None:
    newer = log_of_ids(9)
    vectors = np.stack([kinds_embeddings(9).vectors[8], kinds_embeddings(6).vectors[6]])
    new = ItemEmbeddings("text", ["cup8", "cup0"], vectors)  # cup0 gets the embedding of pot0
    start = FromTrainedModel(trained.model, trained.vocabulary, trained.baselines, (new,))
    vocabulary = start.vocabulary(newer, SMALL)
    model = start.model(newer, vocabulary, Sequences.from_log(newer, vocabulary), SMALL)
    assert model.embeddings is not None
    assert trained.model.embeddings is not None
    before, after = trained.model.embeddings.of_items, model.embeddings.of_items
    index = {name: place for place, name in enumerate(vocabulary.items, 1)}
    for name in (f"{kind}{n}" for kind in KINDS for n in range(6)):
        if name != "cup0":
            assert torch.equal(after[index[name]], before[index[name]])
    torch.testing.assert_close(after[index["cup0"]], before[index["pot0"]])
    assert not torch.equal(after[index["cup0"]], before[index["cup0"]])
    assert bool((after[index["cup8"]] != 0).any())
    assert not bool((after[index["pot8"]] != 0).any())
    assert torch.equal(model.embeddings.weight, trained.model.embeddings.weight)
    updated = train(newer, msgspec.structs.replace(SMALL, max_epochs=1), initialization=start)
    assert updated.model.config.item_embeddings == trained.model.config.item_embeddings


def test_two_sources_do_not_mix() -> None:
    start = FromScratch((kinds_embeddings(6, "picture"), kinds_embeddings(6, "text")))
    log = log_of_ids(6)
    vocabulary = start.vocabulary(log, SMALL)
    model = start.model(log, vocabulary, Sequences.from_log(log, vocabulary), SMALL)
    assert model.embeddings is not None
    table = model.embeddings.of_items.clone()
    half = table.shape[1] // 2
    torch.testing.assert_close(table[:, :half], table[:, half:])
    other = kinds_embeddings(6, "text")
    model.set_item_embeddings([ItemEmbeddings("text", other.items, other.vectors * 2)], vocabulary.items)
    assert torch.equal(model.embeddings.of_items[:, :half], table[:, :half])
    assert not torch.equal(model.embeddings.of_items[:, half:], table[:, half:])


def test_embeddings_that_do_not_fit_the_model_are_refused(trained: Trained) -> None:
    log, vocabulary = log_of_ids(9), trained.vocabulary
    for embeddings, message in (
        (kinds_embeddings(9, "picture"), r"item embeddings 'picture': the model was trained with 'text' and keeps"),
        (
            ItemEmbeddings("text", ["cup8"], np.ones((1, 3), np.float32)),
            r"item embeddings 'text' have 3 numbers each, and the model was trained with 8: give embeddings of the",
        ),
    ):
        with pytest.raises(InputError, match=message):
            extend_catalogue(trained.model, vocabulary, log, [embeddings])
    plain = UserModel(ModelConfig(items=18, actions=1, content=("category",), categories=1))
    with pytest.raises(InputError, match=r"'text': the model was trained without item embeddings and keeps its shape"):
        extend_catalogue(plain, vocabulary, log, [kinds_embeddings(9)])
