from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch

from encoder.errors import BundleError, InputError
from export import exporter, parity
from export.bundle import FILES, Bundle
from export.graphs import predict_graph
from tests.bundles import tiny_bundle, tiny_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=100)


def session(bundle: Bundle, name: str) -> ort.InferenceSession:
    return ort.InferenceSession(bundle.path / name, providers=["CPUExecutionProvider"])


def test_a_bundle_says_what_it_is_and_was_proven(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert (manifest.cell, manifest.items, manifest.actions) == ("gru", 100, 3)
    assert (manifest.state_width, manifest.representation_width) == (40, 32)
    assert manifest.parity["sequences"] == 64
    assert manifest.parity["longest"] == 1_000
    assert manifest.parity["state_max_abs_diff"] <= manifest.parity["state_tolerance"] == 1e-5
    assert manifest.parity["rank_errors"] == 0
    assert bundle.item_vectors.shape == (101, 32)


def test_the_same_model_gives_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    assert tiny_bundle(tmp_path / "again", items=100).bundle_id == bundle.bundle_id
    assert tiny_bundle(tmp_path / "other", items=100, seed=1).bundle_id != bundle.bundle_id


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_changed_bundle_is_refused(name: str, tmp_path: Path, bundle: Bundle) -> None:
    for file in (*FILES, "manifest.json"):
        (tmp_path / file).write_bytes((bundle.path / file).read_bytes())
    assert Bundle.load(tmp_path).bundle_id == bundle.bundle_id
    if name == "manifest.json":
        content = msgspec.json.decode((tmp_path / name).read_bytes())
        content["metrics"] = {"recall@20": 0.99}
        (tmp_path / name).write_bytes(msgspec.json.encode(content))
    else:
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(tmp_path)


def test_a_failed_parity_leaves_the_old_bundle(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tiny_bundle(tmp_path / "b", items=100)
    monkeypatch.setattr(parity, "TOLERANCE", 1e-12)
    with pytest.raises(BundleError, match="parity of states failed"):
        exporter.export_model(tiny_model(100, seed=3), kept.vocabulary, tmp_path / "b")
    assert Bundle.load(tmp_path / "b").bundle_id == kept.bundle_id
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a bundle"):
        exporter.export_model(tiny_model(100), bundle.vocabulary, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_step_is_the_models_step_at_every_gap_boundary(bundle: Bundle) -> None:
    model = tiny_model(100)
    edges = model.gap_boundaries_ms
    gap_ms = torch.cat([edges - 1, edges, edges + 1, torch.tensor([2**62])]).clamp(min=-1)
    n = len(gap_ms)
    item, action = torch.arange(n) % 101, torch.arange(n) % 4
    state = torch.randn(n, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.step(item, action, gap_ms, state)
    feeds = {"item": item, "action": action, "gap_ms": gap_ms, "state": state}
    got = session(bundle, "step.onnx").run(None, {name: value.numpy() for name, value in feeds.items()})
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


def test_ranks_count_ties_against_the_model_and_nothing_for_unknown() -> None:
    vectors = np.zeros((5, 3), np.float32)
    vectors[:, 0] = [3, 2, 2, 1, 1]
    predict = ort.InferenceSession(predict_graph(vectors), providers=["CPUExecutionProvider"])
    representation = np.tile(np.array([1, 0, 0], np.float32), (7, 1))
    representation[6] = np.nan
    (ranks,) = predict.run(None, {"representation": representation, "item": np.array([0, 1, 2, 3, 4, 5, 1])})
    assert ranks.dtype == np.int32
    assert ranks.tolist() == [0, 1, 3, 3, 5, 5, 5]  # a representation that is no number: the worst rank


def test_initial_values_are_the_models(bundle: Bundle) -> None:
    model = tiny_model(100)
    assert not bundle.initial_state.any()
    np.testing.assert_array_equal(bundle.initial_representation, model.head.bias.detach().numpy())
