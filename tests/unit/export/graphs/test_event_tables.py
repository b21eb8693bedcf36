"""The tables of a large catalogue are left out, and its steps stay the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from encoder.data.features import BRAND, CATEGORY, HOUR_MS, PRICE, TIME, Features
from export.exporter import export_model
from export.graphs import event_tables
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from tests.support.content import model_with_all_features, vocabulary_with_all_features


def test_items_without_tables_step_like_items_with_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = export_model(model_with_all_features(), vocabulary_with_all_features(), tmp_path / "small")
    monkeypatch.setattr(event_tables, "TABLED_ITEMS", 29)
    large = export_model(model_with_all_features(), vocabulary_with_all_features(), tmp_path / "large")
    with_tables, without_tables = (len(onnx.load(one.path / "step.onnx").graph.node) for one in (small, large))
    assert without_tables > with_tables, "the graphs differ"
    rng = np.random.default_rng(0)
    state = rng.normal(size=(31, small.manifest.state_width)).astype(np.float32)
    features: Features = {TIME: np.arange(31) * HOUR_MS, CATEGORY: np.arange(31) % 5, BRAND: np.arange(31) % 6}
    features[PRICE] = np.linspace(0, 200, 31, dtype=np.float32)
    inputs = StepInputs(np.arange(31), np.arange(31) % 4, np.arange(31) * 10_000, features)
    for one, other in zip(Stepper(small).step(inputs, state), Stepper(large).step(inputs, state), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
