"""Steps and predictions with the plain graphs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.runtime import stepper
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.bundles import random_queries, tiny_bundle, tiny_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=100)


def test_predictions_in_tiles_are_those_of_the_heads(bundle: Bundle) -> None:
    tiled, heads = Stepper(bundle), tiny_model(100).heads
    tiled._tile = 7
    query = random_queries(bundle, 50)
    representation = query[:, : bundle.manifest.representation_width]
    item = np.arange(50)
    rank, action, time = tiled.predict(query, item)
    assert np.array_equal(rank, tiled.rank(query, item))
    assert heads is not None
    with torch.no_grad():
        for actual, expected in zip((action, time), heads.outputs(torch.from_numpy(representation)), strict=True):
            np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(time[:, :4].sum(axis=1), 1, rtol=1e-6)


def test_the_size_of_a_tile_changes_no_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = tiny_bundle(tmp_path / "b", items=3_000)
    query, item = random_queries(large, 100), np.random.default_rng(0).integers(0, 3_001, 100)
    ranks = []
    for events in (1, 32, 100):
        monkeypatch.setattr(stepper, "TILE_EVENTS", events)
        monkeypatch.setattr(stepper, "TILE_SCORES", 1)
        ranks.append(Stepper(large).rank(query, item).tolist())
    assert ranks[0] == ranks[1] == ranks[2]
