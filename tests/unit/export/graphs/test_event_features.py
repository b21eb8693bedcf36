"""Features of events in exported graphs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch

from encoder.data.features import BRAND, CATEGORY, EVENT_FEATURES, HOUR_MS, PRICE, TIME
from encoder.model.config import ModelConfig
from encoder.model.user_model import UserModel
from export import parity
from export.exporter import export_model
from export.runtime.bundle import MANIFEST, Bundle, Manifest, bundle_id, hash_files
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from tests.support.content import model_with_all_features, vocabulary_with_all_features

NAN = float("nan")


@pytest.fixture(autouse=True, scope="module")
def _short_parity_check() -> Iterator[None]:
    """Shorten the parity check of each export, which takes seconds at full length. Tests of parity run all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "STEPS", 100)
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "everything"
    return export_model(model_with_all_features(), vocabulary_with_all_features(), folder, purchases=())


@pytest.mark.parametrize("feature", EVENT_FEATURES)
def test_the_graph_steps_as_the_model_at_each_boundary_of_a_feature(feature: str, bundle: Bundle) -> None:
    model = model_with_all_features()
    bounds = np.array([0.0, *model.config.price_boundaries], np.float32)
    hours_ms = np.arange(170) * HOUR_MS
    edges: dict[str, Any] = {
        TIME: np.concatenate([hours_ms, hours_ms + HOUR_MS - 1, [1_790_000_000_000]]),
        CATEGORY: np.arange(5),
        BRAND: np.arange(6),
        PRICE: np.concatenate([bounds, np.nextafter(bounds, np.float32(-9)), [np.nan, np.inf, 1e30]]).astype(
            np.float32
        ),
    }
    n = len(edges[feature])
    features = {TIME: np.zeros(n, np.int64), CATEGORY: np.zeros(n, np.int64), BRAND: np.zeros(n, np.int64)}
    features = {**features, PRICE: np.full(n, np.nan, np.float32), feature: edges[feature]}
    action, gap_ms = np.arange(n) % 4, np.full(n, -1)
    state = np.random.default_rng(0).normal(size=(1, 24)).astype(np.float32).repeat(n, axis=0)
    for item in (np.zeros(n, np.int64), np.arange(n) % 31):
        got = Stepper(bundle).step(StepInputs(item, action, gap_ms, features), state)
        with torch.no_grad():
            inputs = [torch.from_numpy(value) for value in (item, action, gap_ms, state)]
            expected = model.step(*inputs, {name: torch.from_numpy(value) for name, value in features.items()})
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


def test_each_value_of_a_feature_steps_differently(bundle: Bundle) -> None:
    distinct = {TIME: 168, CATEGORY: 5, BRAND: 6, PRICE: 5}
    values: dict[str, Any] = {
        TIME: np.arange(170) * HOUR_MS,
        CATEGORY: np.arange(5),
        BRAND: np.arange(6),
        PRICE: np.array([np.nan, 0, 1.5, 2, 9.99, 99, 100, np.inf], np.float32),
    }
    stepper = Stepper(bundle)
    for name, feature in values.items():
        n = len(feature)
        features = {TIME: np.zeros(n, np.int64), CATEGORY: np.zeros(n, np.int64), BRAND: np.zeros(n, np.int64)}
        features = {**features, PRICE: np.full(n, np.nan, np.float32), name: feature}
        # The vector of a known item ignores the content of the event, and so does a step.
        for item, count in ((0, distinct[name]), (1, 168 if name == TIME else 1)):
            items = np.full(n, item)
            inputs = StepInputs(items, np.ones_like(items), items - 1, features)
            _, after = stepper.step(inputs, np.zeros((n, 24), np.float32))
            assert len(np.unique(after.round(5), axis=0)) == count, (name, item)


def test_a_graph_has_inputs_only_for_the_features_of_its_bundle(bundle: Bundle, tmp_path: Path) -> None:
    def inputs(bundle: Bundle) -> list[str]:
        session = ort.InferenceSession(bundle.path / "step.onnx", providers=["CPUExecutionProvider"])
        return [value.name for value in session.get_inputs()]

    assert bundle.features == EVENT_FEATURES
    assert inputs(bundle) == ["item", "action", "gap_ms", *EVENT_FEATURES, "state"]
    plain = export_model(
        UserModel(ModelConfig(items=30, actions=3)), vocabulary_with_all_features(), tmp_path / "plain"
    )
    assert plain.features == ()
    assert inputs(plain) == ["item", "action", "gap_ms", "state"]


def test_a_bundle_without_features_in_its_manifest_still_loads(tmp_path: Path) -> None:
    made = export_model(UserModel(ModelConfig(items=30, actions=3)), vocabulary_with_all_features(), tmp_path / "old")
    content = msgspec.json.decode((made.path / MANIFEST).read_bytes())
    assert "features" not in content
    names = msgspec.to_builtins(made.vocabulary)
    del names["categories"], names["brands"]
    (made.path / "vocabulary.json").write_bytes(msgspec.json.encode(names))
    manifest = msgspec.convert({**content, "files": hash_files(made.path), "graph_properties": {}}, Manifest)
    manifest = msgspec.structs.replace(manifest, bundle_id=bundle_id(manifest))
    (made.path / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    assert Bundle.load(made.path).features == ()
