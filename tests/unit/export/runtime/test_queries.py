"""Queries and the scores of items under them."""

import numpy as np
import pytest

from encoder.data.recent_items import FIELDS, PLACES
from export.runtime.bundle import Bundle
from export.runtime.queries import item_scores, make_queries, recent_items, recent_of_states
from tests.support.bundles import random_queries, tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("queries") / "b", items=40, width=8)


def test_scores_are_dot_products_and_what_recent_items_add(bundle: Bundle) -> None:
    query, width = random_queries(bundle, 30), bundle.manifest.representation_width
    scores = bundle.scores(query)
    assert scores.dtype == np.float32
    for user, row in enumerate(query):
        added = {int(item): row[width + PLACES + place] for place, item in enumerate(row[width : width + PLACES])}
        for item in range(1, 41):
            own = added.get(item, 0)
            expected = bundle.item_vectors[item].astype(np.float64) @ row[:width].astype(np.float64) + own
            np.testing.assert_allclose(scores[user, item - 1], expected, rtol=1e-4, atol=1e-5)
    for item in (1, 17, 40):
        np.testing.assert_allclose(bundle.scores_of(query, item), scores[:, item - 1], rtol=1e-4, atol=1e-5)


def test_a_query_holds_the_items_and_scores_of_a_state() -> None:
    rng = np.random.default_rng(0)
    representation = rng.normal(size=(6, 4)).astype(np.float32)
    state = rng.normal(size=(6, 7 + len(FIELDS) * PLACES)).astype(np.float32)
    state[:, 7 : 7 + PLACES] = rng.integers(0, 9, (6, PLACES))
    query = make_queries(representation, state, PLACES)
    np.testing.assert_array_equal(query[:, :4], representation)
    item, added = recent_items(query, PLACES)
    np.testing.assert_array_equal(item, state[:, 7 : 7 + PLACES])
    np.testing.assert_array_equal(added, state[:, -PLACES:])
    published, scores = recent_of_states(state, PLACES)
    np.testing.assert_array_equal(published, np.where(item > 0, item, -1))
    np.testing.assert_array_equal(scores, added)


def test_a_query_that_was_split_is_joined_to_the_same_query(bundle: Bundle) -> None:
    width, places = bundle.manifest.representation_width, bundle.manifest.recent_places
    for query in random_queries(bundle, 5):
        item, added = recent_items(query[None], places)
        empty_as_published = np.where(item[0] > 0, item[0], -1).astype(np.int32)
        joined = bundle.joined_query(query[:width], empty_as_published, added[0])
        assert joined.dtype == np.float32
        np.testing.assert_array_equal(joined, query)


def test_parts_that_do_not_fit_the_bundle_are_refused(bundle: Bundle) -> None:
    width, places, items = bundle.manifest.representation_width, bundle.manifest.recent_places, bundle.manifest.items
    representation, item, added = np.zeros(width, np.float32), np.full(places, items), np.zeros(places, np.float32)
    bundle.joined_query(representation, item, added)
    for parts in (
        (representation[1:], item, added),
        (representation, item[1:], added),
        (representation, item, added[1:]),
    ):
        with pytest.raises(ValueError, match="numbers for a representation"):
            bundle.joined_query(*parts)
    with pytest.raises(ValueError, match=f"recent item {items + 1} of {items} items"):
        bundle.joined_query(representation, item + 1, added)


def test_without_recent_items_a_query_is_the_representation() -> None:
    representation, state = np.ones((2, 3), np.float32), np.ones((2, 5), np.float32)
    assert make_queries(representation, state, 0) is representation
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(item_scores(representation, vectors, 0), representation @ vectors[1:].T)
    assert [part.shape for part in recent_items(representation, 0)] == [(2, 0), (2, 0)]
