"""The model card of a bundle."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from encoder.data.vocabulary import Vocabulary
from encoder.metrics.baselines import BASELINES
from export.exporter import export_model
from export.model_card import MODEL_CARD, model_card, wilson_interval
from export.runtime.bundle import Bundle, bundle_id
from tests.support.bundles import tiny_model, vocabulary_of

DATA = {"events": 9_000, "users": 70, "items": 40, "first_ms": 0, "last_ms": 86_400_000, "sha256": "cd" * 32}
METRICS = {
    "n": 1_000,
    "recall@20": 0.4,
    "mrr@20": 0.2,
    "split": "last part",
    "baselines": {"popularity": {"recall@20": 0.125, "mrr@20": 0.0625}},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    vocabulary = vocabulary_of([f"item-{i}" for i in range(1, 41)])
    training = {"data": DATA, "settings": {"seed": 3}}
    folder = tmp_path_factory.mktemp("bundle") / "b"
    return export_model(tiny_model(40), vocabulary, folder, metrics=METRICS, training=training)


def parts(text: str) -> tuple[dict[str, Any], str]:
    """The front matter and the text below."""
    opening, front, body = text.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(front), body


def test_the_front_matter_is_that_of_the_hub(bundle: Bundle) -> None:
    front, _ = parts((bundle.path / MODEL_CARD).read_text())
    assert front["library_name"] == "thalweg"
    assert {"onnx", "gru"} <= set(front["tags"])
    assert "license" not in front
    assert front["metrics"] == ["recall_at_20", "mrr_at_20"]
    (model,) = front["model-index"]
    assert model["name"] == bundle.bundle_id
    (result,) = model["results"]
    assert all(isinstance(result["task"][key], str) for key in ("type", "name"))
    assert all(isinstance(result["dataset"][key], str) for key in ("type", "name", "split"))
    assert [metric["type"] for metric in result["metrics"]] == front["metrics"]
    assert [metric["value"] for metric in result["metrics"]] == [0.4, 0.2]
    assert result["metrics"][0]["name"] == "Recall@20 (95% interval 0.3701 to 0.4307)"


def test_the_card_tells_data_quality_parity_limits_and_use(bundle: Bundle) -> None:
    _, body = parts((bundle.path / MODEL_CARD).read_text())
    assert "1970-01-01 00:00 UTC and 1970-01-02 00:00 UTC" in body
    assert DATA["sha256"] in body
    assert f"| {BASELINES['popularity']} | 0.1250 | 0.0625 |  |" in body
    assert f"{bundle.manifest.parity['steps']:,} steps" in body
    for heading in ("## Quality", "## Parity", "## How to use", "## Limits"):
        assert heading in body


def test_a_card_is_no_part_of_the_bundles_content(bundle: Bundle) -> None:
    card = bundle.path / MODEL_CARD
    text = card.read_text()
    card.write_text(text + "\nA note of the owner.\n")
    assert Bundle.load(bundle.path).bundle_id == bundle.bundle_id == bundle_id(bundle.manifest)
    card.unlink()
    assert Bundle.load(bundle.path).bundle_id == bundle.bundle_id
    card.write_text(text)
    assert MODEL_CARD not in bundle.manifest.files


def test_a_bundle_without_figures_has_a_card(bundle: Bundle, tmp_path: Path) -> None:
    made = export_model(tiny_model(40), bundle.vocabulary, tmp_path / "b")
    front, body = parts(model_card(made.manifest))
    assert "model-index" not in front
    assert "## Quality" not in body


def test_names_of_actions_do_not_break_a_table(bundle: Bundle, tmp_path: Path) -> None:
    vocabulary = Vocabulary(items=bundle.vocabulary.items, actions=["view", "cart", "a|b\nc"])
    made = export_model(tiny_model(40), vocabulary, tmp_path / "b", purchases=["a|b\nc"])
    assert r"| actions that buy an item | a\|b c |" in (made.path / MODEL_CARD).read_text()


@pytest.mark.parametrize(("mean", "n", "low", "high"), [(0.5, 100, 0.4038, 0.5962), (0.0, 10, 0.0, 0.2775)])
def test_wilson_intervals(mean: float, n: int, low: float, high: float) -> None:
    assert wilson_interval(mean, n) == pytest.approx((low, high), abs=1e-4)
