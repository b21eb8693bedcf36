"""Exporting a bundle."""

from pathlib import Path

import numpy as np
import pytest

from encoder.errors import BundleError, InputError
from export import exporter, parity
from export.runtime.bundle import Bundle
from tests.support.bundles import tiny_bundle, tiny_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=100)


def test_the_manifest_describes_the_model_and_its_parity(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert (manifest.cell, manifest.items, manifest.actions) == ("gru", 100, 3)
    assert (manifest.state_width, manifest.representation_width) == (10 + 40 + 3 * 32 + 6 + 5 * 10, 32 + 3)
    assert manifest.recent_places == 10
    assert manifest.parity["recent_max_rel_diff"] <= manifest.parity["recent_tolerance"] == 1e-5
    assert manifest.parity["sequences"] == 64
    assert manifest.parity["longest"] == 1_000
    assert manifest.parity["state_max_abs_diff"] <= 1e-5 <= manifest.parity["state_tolerance"]
    assert manifest.parity["rank_errors"] == 0
    assert manifest.heads == {"action_probability": 4, "time_mixture": 12}
    assert manifest.parity["head_max_rel_diff"] <= manifest.parity["head_tolerance"] == 1e-5
    assert bundle.item_vectors.shape == (101, 32 + 3)


def test_the_same_model_gives_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    assert tiny_bundle(tmp_path / "again", items=100).bundle_id == bundle.bundle_id
    assert tiny_bundle(tmp_path / "other", items=100, seed=1).bundle_id != bundle.bundle_id


def test_the_manifest_names_the_offsets_of_actions(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.manifest.action_offsets == {}
    assert "action_offsets" not in (bundle.path / "manifest.json").read_text(), "older bundles keep their ids"
    made = exporter.export_model(tiny_model(100), bundle.vocabulary, tmp_path / "b", action_offsets=[0.0, 1.5, 2.0])
    assert made.manifest.action_offsets == {"view": 0.0, "cart": 1.5, "purchase": 2.0}
    assert made.bundle_id != bundle.bundle_id


def test_a_failed_parity_check_leaves_the_old_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tiny_bundle(tmp_path / "b", items=100)
    monkeypatch.setattr(parity, "TOLERANCE", 1e-12)
    with pytest.raises(BundleError, match="parity of states failed"):
        exporter.export_model(tiny_model(100, seed=3), old.vocabulary, tmp_path / "b")
    assert Bundle.load(tmp_path / "b").bundle_id == old.bundle_id
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a bundle"):
        exporter.export_model(tiny_model(100), bundle.vocabulary, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_user_without_history_starts_with_the_models_values(bundle: Bundle) -> None:
    model = tiny_model(100)
    assert not bundle.initial_state.any()
    expected = np.concatenate([model.head.bias.detach().numpy(), [-1.5] * 3])  # the counters' means are 1.5
    np.testing.assert_array_equal(bundle.initial_representation, expected)


def test_another_bundle_is_replaced_only_on_request(bundle: Bundle, tmp_path: Path) -> None:
    first = exporter.export_model(tiny_model(100), bundle.vocabulary, tmp_path / "b")
    exporter.export_model(tiny_model(100), bundle.vocabulary, tmp_path / "b", overwrite=False)  # the same bundle
    with pytest.raises(InputError, match=f"holds another bundle, {first.bundle_id}: .* add --overwrite"):
        exporter.export_model(tiny_model(100, seed=3), bundle.vocabulary, tmp_path / "b", overwrite=False)
    assert Bundle.load(tmp_path / "b").bundle_id == first.bundle_id
    second = exporter.export_model(tiny_model(100, seed=3), bundle.vocabulary, tmp_path / "b", overwrite=True)
    assert second.bundle_id != first.bundle_id
