"""Which actions buy an item."""

from pathlib import Path

import pytest

from encoder.errors import InputError
from export import parity
from export.exporter import export_model
from export.purchases import purchase_indices
from tests.support.bundles import tiny_model, vocabulary_of

ACTIONS = ["view", "Purchase", "rent", "transaction"]


def test_well_known_names_are_found_and_other_names_are_given() -> None:
    assert purchase_indices(ACTIONS, None) == (2, 4)
    assert purchase_indices(["view", "purchase_intent", "reorder"], None) == ()
    assert purchase_indices(ACTIONS, ["rent", "view"]) == (1, 3)
    assert purchase_indices(ACTIONS, []) == ()
    with pytest.raises(InputError, match=r"names the action 'purchase', .*: the model knows view, Purchase, rent"):
        purchase_indices(ACTIONS, ["rent", "purchase"])


def test_a_manifest_names_the_purchase_actions_and_is_that_of_before_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "STEPS", 20)
    model, vocabulary = tiny_model(30), vocabulary_of([f"item-{i}" for i in range(30)])
    made = export_model(model, vocabulary, tmp_path / "with").manifest
    assert (made.bought_places, made.purchase_actions) == (10, ("purchase",))
    assert made.state_width == model.state_width + 10
    named = export_model(model, vocabulary, tmp_path / "named", purchases=["purchase", "cart"])
    assert named.manifest.purchase_actions == ("cart", "purchase")
    assert named.initial_state.tolist() == [0.0] * 10 + model.initial_state(1)[0].tolist()
    without = export_model(model, vocabulary, tmp_path / "without", purchases=[])
    assert without.manifest.state_width == model.state_width
    text = (without.path / "manifest.json").read_text()
    assert "bought_places" not in text, "older bundles keep their ids"
    assert "purchase_actions" not in text
