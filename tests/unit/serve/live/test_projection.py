"""The map of a bundle: principal components of directions, the same for the same bundle."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.serve.live.projection import project, turn_degrees
from streams.serve.scoring.directions import directions
from tests.support.bundles import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("map") / "bundle", items=900, width=16)


def with_vectors(vectors: np.ndarray) -> Any:
    bundle: Any = SimpleNamespace(item_vectors=vectors.astype(np.float32))
    bundle.scoring_width = Bundle.scoring_width.func(bundle)
    return bundle


def test_the_axes_are_those_of_a_singular_value_decomposition(bundle: Bundle) -> None:
    plane = project(bundle)
    found = directions(np.array(bundle.item_vectors)[1:, : len(plane.mean)]).astype(np.float64)
    _, singular, rows = np.linalg.svd(found - found.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(rows[:2] @ plane.axes), np.eye(2), atol=1e-6)
    share = singular**2 / (singular**2).sum()
    np.testing.assert_allclose(plane.explained, share[:2], rtol=1e-6)
    assert plane.explained[0] >= plane.explained[1] > 0


def test_the_same_bundle_gives_the_same_map_with_the_same_signs(bundle: Bundle) -> None:
    first, second = project(bundle), project(Bundle.load(bundle.path))
    np.testing.assert_array_equal(first.axes, second.axes)
    assert (first.axes[np.abs(first.axes).argmax(axis=0), [0, 1]] > 0).all()


def test_the_ground_is_where_its_items_are(bundle: Bundle) -> None:
    plane = project(bundle)
    assert len(plane.shown) == 400
    assert (plane.shown[0], plane.shown[-1]) == (1, 900)
    np.testing.assert_allclose(plane.ground, plane.place(np.array(bundle.item_vectors)[plane.shown]), atol=1e-6)


def test_counters_of_a_representation_and_its_length_do_not_move_its_place(bundle: Bundle) -> None:
    plane = project(bundle)
    width = bundle.manifest.representation_width
    assert len(plane.mean) < width, "the bundle has no counters, so the test shows nothing"
    vector = np.random.default_rng(0).normal(size=(1, width)).astype(np.float32)
    other = 3 * vector
    other[:, len(plane.mean) :] = 7
    np.testing.assert_allclose(plane.place(vector), plane.place(other), atol=1e-6)


@pytest.mark.parametrize("vectors", [np.zeros((4, 3)), np.array([[0.0], [1], [2]]), np.array([[0.0, 0], [1, 2]])])
def test_a_catalogue_without_a_plane_has_a_map_all_the_same(vectors: np.ndarray) -> None:
    plane = project(with_vectors(vectors))
    assert np.isfinite(plane.ground).all()
    assert np.isfinite(plane.explained).all()
    assert plane.ground.shape == (len(vectors) - 1, 2)


@pytest.mark.parametrize(
    ("before", "after", "degrees"), [([1, 0], [5, 0], 0), ([1, 0], [0, 2], 90), ([1, 1], [-3, -3], 180)]
)
def test_a_turn_is_the_angle_between_two_vectors(before: list[float], after: list[float], degrees: float) -> None:
    assert turn_degrees(np.float32(before), np.float32(after)) == pytest.approx(degrees, abs=0.05)


def test_the_demo_has_a_map() -> None:
    folder = Path(__file__).parents[4] / "streams" / "demo" / "bundle"
    assert sum(project(Bundle.load(folder)).explained) > 0.02
