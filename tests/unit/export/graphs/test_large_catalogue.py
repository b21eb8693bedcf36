"""What is done otherwise for a large catalogue gives what a small one's way gives."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from encoder.data.features import BRAND, CATEGORY, HOUR_MS, PRICE, TIME, Features
from export import parity
from export.exporter import export_model
from export.graphs import event_tables
from export.runtime import stepper
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle
from tests.support.content import model_with_all_features, vocabulary_with_all_features


def test_items_that_are_not_folded_into_tables_step_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = export_model(model_with_all_features(), vocabulary_with_all_features(), tmp_path / "small")
    monkeypatch.setattr(event_tables, "TABLED_ITEMS", 29)
    large = export_model(model_with_all_features(), vocabulary_with_all_features(), tmp_path / "large")  # proven, too
    tabled, computed = (len(onnx.load(of.path / "step.onnx").graph.node) for of in (small, large))
    assert computed > tabled, "it is another graph"
    draw = np.random.default_rng(0)
    state = draw.normal(size=(31, small.manifest.state_width)).astype(np.float32)
    features: Features = {TIME: np.arange(31) * HOUR_MS, CATEGORY: np.arange(31) % 5, BRAND: np.arange(31) % 6}
    features[PRICE] = np.linspace(0, 200, 31, dtype=np.float32)
    given = StepInputs(np.arange(31), np.arange(31) % 4, np.arange(31) * 10_000, features), state
    for one, other in zip(Stepper(small).step(*given), Stepper(large).step(*given), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_size_of_a_tile_changes_no_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(tmp_path / "b", items=3_000)
    draw = np.random.default_rng(0)
    representation = draw.normal(size=(100, bundle.manifest.representation_width)).astype(np.float32)
    item = draw.integers(0, 3_001, 100)
    found = []
    for events in (1, 32, 100):
        monkeypatch.setattr(stepper, "TILE_EVENTS", events)
        monkeypatch.setattr(stepper, "TILE_SCORES", 1)
        found.append(Stepper(bundle).rank(representation, item).tolist())
    assert found[0] == found[1] == found[2]


def test_the_proof_in_tiles_says_what_it_says_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(tmp_path / "whole", items=50)
    monkeypatch.setattr(parity, "SCORES", 500)
    again = tiny_bundle(tmp_path / "in_tiles", items=50)
    assert again.manifest.parity == bundle.manifest.parity
    monkeypatch.setattr("export.graphs.heads.MIN_SCALE", 0.1001)
    with pytest.raises(parity.BundleError, match="parity of heads failed"):
        tiny_bundle(tmp_path / "wrong", items=50)
