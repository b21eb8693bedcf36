"""Lists of recommended items and their popularity."""

import numpy as np
import pytest

from export.evaluation.queries import queries
from export.evaluation.recommendation_lists import describe_lists, top_items
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.random_log import ITEMS, random_log


def test_top_items_are_the_best_of_the_catalogue(bundle: Bundle) -> None:
    found = np.random.default_rng(0).normal(size=(5, bundle.query_width)).astype(np.float32)
    width, places = bundle.manifest.representation_width, bundle.manifest.recent_places
    scores = found[:, :width] @ bundle.item_vectors[1:].T
    found[:, width : width + places] = np.argsort(scores, axis=1)[:, :places] + 1  # the worst items are recent
    found[:, -places:] = 1_000
    best = np.argsort(-scores, axis=1)[:, : 20 - places] + 1
    expected = np.concatenate([best, found[:, width : width + places]], axis=1)
    assert np.array_equal(np.sort(top_items(bundle, found)), np.sort(expected))


def test_lists_tell_the_coverage_and_the_popularity_of_items(bundle: Bundle, stepper: Stepper) -> None:
    scored = ScoredEvents.from_logs(random_log(), bundle.vocabulary)
    popularity = np.arange(ITEMS, -1, -1) ** 2
    popularity[0] = 0
    lists = describe_lists(bundle, stepper, scored, popularity)
    shown: list[int] = []
    for _, found in queries(bundle, stepper, scored.sequences, scored.user, scored.steps):
        shown += (np.argsort(-bundle.scores(found), axis=1)[:, :20] + 1).ravel().tolist()
    known = scored.item[scored.item > 0].tolist()
    assert lists["lists"] * 20 == len(shown)
    assert lists["coverage"] == len(set(shown)) / ITEMS
    for name, items in (("recommended", shown), ("actual", known)):
        assert lists[f"percentile_{name}"] == pytest.approx(np.mean([(ITEMS - item) / (ITEMS - 1) for item in items]))
        assert lists[f"arp_{name}"] == pytest.approx(np.mean([popularity[item] for item in items]))
