"""Bundles in the vector space of an older bundle."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoder.data.features import CATEGORY, TIME
from encoder.errors import BundleError, InputError
from encoder.model.cells import CELLS
from encoder.model.config import EmbeddingShape
from encoder.model.rotation import rotated
from encoder.model.user_model import UserModel
from export import alignment
from export.alignment import align, procrustes
from export.exporter import export_model
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.resident_states import ResidentStates
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle, tiny_model, vocabulary_of
from tests.support.models import assert_same_weights
from tests.tools import gpu_check

ITEMS, WIDTH = 100, 32


def random_rotation(width: int = WIDTH, seed: int = 1) -> NDArray[np.float64]:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def whole_model(cell: str, layers: int) -> UserModel:
    """A model with every part that has vectors of the space."""
    torch.manual_seed(0)
    config = tiny_model(ITEMS, cell=cell, layers=layers, categories=7).config
    shapes = {"text": EmbeddingShape(width=6, components=5)}
    model = UserModel(msgspec.structs.replace(config, week_hours=True, item_embeddings=shapes))
    assert model.embeddings is not None
    torch.nn.init.normal_(model.embeddings.of_items)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return model.eval()


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("older") / "b", items=ITEMS)


@pytest.fixture(scope="module")
def pair(older: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """The bundle of another training, and the same bundle in the space of the older one."""
    folder = tmp_path_factory.mktemp("pair")
    model = tiny_model(ITEMS, seed=5)
    return (
        export_model(model, older.vocabulary, folder / "plain"),
        export_model(model, older.vocabulary, folder / "aligned", aligned_to=older, for_gpu=True),
    )


def test_procrustes_finds_the_rotation_also_with_a_reflection() -> None:
    rotation, vectors = random_rotation(), np.random.default_rng(2).normal(size=(200, WIDTH))
    rotation[0] *= -1
    np.testing.assert_allclose(procrustes(vectors @ rotation, vectors), rotation, atol=1e-12)


@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("layers", [1, 2])
def test_a_rotated_model_has_rotated_vectors_and_the_same_scores(cell: str, layers: int) -> None:
    model = whole_model(cell, layers)
    rotation, width = random_rotation(), model.cell.state_width
    other = rotated(model, torch.from_numpy(rotation))
    rng, shape = np.random.default_rng(0), (4, 30)
    item, action, category = (torch.from_numpy(rng.integers(0, top, shape)) for top in (ITEMS + 1, 4, 8))
    features = {TIME: torch.from_numpy(rng.integers(0, 10**12, shape)), CATEGORY: category}
    gap_ms = torch.full(shape, 60_000)
    gap_ms[:, 0] = -1
    with torch.no_grad():
        before, after = (
            [part.numpy() for part in of.sequence(item, action, gap_ms, of.initial_recurrent_state(4), features)]
            for of in (model, other)
        )
        np.testing.assert_allclose(after[0][..., :WIDTH], before[0][..., :WIDTH] @ rotation.T, atol=1e-5)
        np.testing.assert_array_equal(after[0][..., WIDTH:], before[0][..., WIDTH:])  # the counters
        np.testing.assert_allclose(after[1][:, :width], before[1][:, :width], atol=1e-5)
        vectors, first = model.item_vectors().numpy(), model.initial_representation(1)[0, :WIDTH].numpy()
        np.testing.assert_allclose(other.item_vectors().numpy(), vectors @ rotation.T, atol=1e-6)
        np.testing.assert_allclose(other.initial_representation(1)[0, :WIDTH].numpy(), rotation @ first, atol=1e-5)
        heads = [of.heads.outputs(torch.from_numpy(part[0][:, -1])) for of, part in ((model, before), (other, after))]
        for wanted, actual in zip(*heads, strict=True):
            np.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_scores_ranks_and_heads_of_an_aligned_bundle_stay(pair: tuple[Bundle, Bundle]) -> None:
    rng, users = np.random.default_rng(3), 30
    item, action = rng.integers(0, ITEMS + 1, (5, users)), rng.integers(0, 4, (5, users))
    scores, predictions = [], []
    for bundle in pair:
        stepper, state = Stepper(bundle, on_cpu=True), np.tile(bundle.initial_state, (users, 1))
        for step in range(5):
            gap_ms = np.full(users, 1_000 if step else -1)
            state, representation = stepper.step(StepInputs(item[step], action[step], gap_ms, {}), state)
        query = bundle.queries(representation, state)
        scores.append(bundle.scores(query))
        predictions.append(stepper.predict(query, np.arange(1, users + 1)))
    plain, aligned = scores
    np.testing.assert_allclose(aligned, plain, atol=1e-5 * np.abs(plain).max())
    np.testing.assert_array_equal(predictions[0].rank, predictions[1].rank)
    np.testing.assert_allclose(predictions[0].action_probability, predictions[1].action_probability, atol=1e-5)


def test_states_on_a_device_give_the_same_as_the_plain_graphs(pair: tuple[Bundle, Bundle]) -> None:
    aligned = pair[1]
    found = gpu_check.parity(aligned, ResidentStates(aligned, ITEMS, on_cpu=True), ITEMS, 10)
    assert found.steps > 100
    assert max(found.state, found.representation, found.heads) <= 1e-5
    assert found.ranks_differing == 0


def test_the_manifest_tells_of_the_alignment(older: Bundle, pair: tuple[Bundle, Bundle]) -> None:
    plain, aligned = pair
    told = aligned.manifest.aligned_to
    assert told["bundle_id"] == older.bundle_id
    assert told["shared_items"] == ITEMS
    assert told["cosine_before"] < told["cosine"] <= 1
    assert aligned.manifest.parity["aligned_score_max_rel_diff"] <= 1e-5
    assert plain.manifest.aligned_to == {}
    assert "aligned" not in (plain.path / "manifest.json").read_text(), "older bundles keep their ids"


def test_the_same_alignment_gives_the_same_weights(older: Bundle) -> None:
    one, other = (align(tiny_model(ITEMS, seed=5), older.vocabulary, older).model for _ in range(2))
    assert_same_weights(one, other)


def test_a_model_that_was_only_rotated_comes_back(older: Bundle) -> None:
    model = tiny_model(ITEMS)
    back = align(rotated(model, torch.from_numpy(random_rotation())), older.vocabulary, older)
    with torch.no_grad():
        np.testing.assert_allclose(back.model.item_vectors(), model.item_vectors(), atol=1e-5)
    assert back.told["cosine"] == pytest.approx(1, abs=1e-4)


def test_a_wrong_rotation_is_found(older: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "procrustes", lambda new, old: 1.001 * procrustes(new, old))
    with pytest.raises(BundleError, match="parity of scores after the alignment failed"):
        export_model(tiny_model(ITEMS, seed=5), older.vocabulary, tmp_path / "b", aligned_to=older)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_aligned_is_refused(older: Bundle, tmp_path: Path) -> None:
    for model, names, message in (
        (tiny_model(ITEMS, width=16), older.vocabulary.items, "train with the same settings"),
        (tiny_model(ITEMS, is_whole=False), older.vocabulary.items, "train with the same settings"),
        (tiny_model(ITEMS, seed=5), [f"other-{i}" for i in range(ITEMS)], "shares 0 items with gru-.* needs 32"),
        (tiny_model(ITEMS), older.vocabulary.items, "has the vectors of this model already"),
    ):
        with pytest.raises(InputError, match=message):
            export_model(model, vocabulary_of(list(names)), tmp_path / "b", aligned_to=older)
    assert not (tmp_path / "b").exists()
