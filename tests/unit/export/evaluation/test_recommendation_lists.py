"""Lists of recommended items and their popularity."""

import numpy as np
import pytest

from export.evaluation import recommendation_lists
from export.evaluation.queries import queries
from export.evaluation.recommendation_lists import calibration, describe_lists, draw_lists, top_lists
from export.evaluation.report.text_tables import lists_title
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.bundles import random_queries
from tests.support.random_log import ITEMS, random_log


def test_top_items_are_the_best_of_the_catalogue(bundle: Bundle) -> None:
    found = np.random.default_rng(0).normal(size=(5, bundle.query_width)).astype(np.float32)
    width, places = bundle.manifest.representation_width, bundle.manifest.recent_places
    scores = found[:, :width] @ bundle.item_vectors[1:].T
    found[:, width : width + places] = np.argsort(scores, axis=1)[:, :places] + 1  # the worst items are recent
    found[:, -places:] = 1_000
    best = np.argsort(-scores, axis=1)[:, : 20 - places] + 1
    expected = np.concatenate([best, found[:, width : width + places]], axis=1)
    lists = top_lists(bundle, found, np.zeros(5, np.int64))
    assert np.array_equal(np.sort(lists.item), np.sort(expected))


def test_probabilities_are_the_softmax_of_the_scores_over_the_catalogue(bundle: Bundle) -> None:
    found, item = random_queries(bundle, 7), np.arange(7)
    lists = top_lists(bundle, found, item)
    scores = bundle.scores(found).astype(np.float64)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(lists.probability, np.take_along_axis(expected, lists.item - 1, axis=1), rtol=1e-4)
    actual = expected[np.arange(1, 7), item[1:] - 1]
    np.testing.assert_allclose(lists.actual_log_probability, [0, *np.log(actual)], rtol=1e-4)


def test_lists_tell_the_coverage_and_the_popularity_of_items(bundle: Bundle, stepper: Stepper) -> None:
    scored = ScoredEvents.from_logs(random_log(), bundle.vocabulary)
    popularity = np.arange(ITEMS, -1, -1) ** 2
    popularity[0] = 0
    drawn = draw_lists(bundle, stepper, scored)
    lists = describe_lists(bundle, scored, drawn, popularity)
    shown: list[int] = []
    for _, found in queries(bundle, stepper, scored.sequences, scored.user, scored.steps):
        shown += (np.argsort(-bundle.scores(found), axis=1)[:, :20] + 1).ravel().tolist()
    known = scored.item[scored.item > 0].tolist()
    assert lists["lists"] * 20 == len(shown)
    assert lists["coverage"] == len(set(shown)) / ITEMS
    for name, items in (("recommended", shown), ("actual", known)):
        assert lists[f"percentile_{name}"] == pytest.approx(np.mean([(ITEMS - item) / (ITEMS - 1) for item in items]))
        assert lists[f"arp_{name}"] == pytest.approx(np.mean([popularity[item] for item in items]))
        shares = [max(1, popularity[item]) / popularity.sum() for item in items]
        assert lists[f"novelty_{name}"] == pytest.approx(-np.mean(np.log2(shares)))
    following = lists["next_events"]
    relevant, hits = [], []
    for row, (at, user) in enumerate(zip(scored.target.tolist(), scored.user.tolist(), strict=True)):
        items = scored.sequences.item[at : min(at + 10, int(scored.sequences.starts[user + 1]))].tolist()
        hits.append(len(set(items) & set(shown[20 * row : 20 * row + 20])))
        relevant.append(len(set(items) - {0}) + items.count(0))
    assert following["precision@20"] == pytest.approx(np.mean(hits) / 20)
    assert following["recall@20"] == pytest.approx(np.mean(np.divide(hits, relevant)))
    assert following["f1@20"] == pytest.approx(np.mean([2 * h / (20 + r) for h, r in zip(hits, relevant, strict=True)]))


def test_calibration_compares_the_probabilities_of_listed_items_with_hits(bundle: Bundle, stepper: Stepper) -> None:
    scored = ScoredEvents.from_logs(random_log(), bundle.vocabulary)
    drawn = draw_lists(bundle, stepper, scored)
    found = calibration(scored, drawn)
    known = int((scored.item > 0).sum())
    assert (found["all"]["n"], found["known"]["n"], found["next_item"]["n"]) == (8_000, 20 * known, known)
    hits = (drawn.lists.item == scored.item[:, None]).any(axis=1)
    assert found["all"]["came"] == pytest.approx(hits.mean() / 20)
    assert found["known"]["came"] == pytest.approx(hits.sum() / known / 20)
    assert found["whole_list"]["came"] == pytest.approx(hits.sum() / known)
    assert found["whole_list"]["probability"] == pytest.approx(20 * found["known"]["probability"], rel=1e-5)
    assert found["next_item"]["log_loss"] > -np.log(found["next_item"]["probability"]), "Jensen's inequality"


def test_many_events_have_lists_for_a_sample_that_a_seed_fixes(
    bundle: Bundle, stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommendation_lists, "LISTS", 50)
    scored = ScoredEvents.from_logs(random_log(), bundle.vocabulary)
    one, other = draw_lists(bundle, stepper, scored), draw_lists(bundle, stepper, scored)
    assert np.array_equal(one.chosen, other.chosen)
    lists = describe_lists(bundle, scored, one, None)
    assert (lists["lists"], lists["events"], lists["novelty_actual"]) == (50, 400, None)
    assert lists_title(lists) == "The top 20 before 50 events, drawn from 400 with a fixed seed"
