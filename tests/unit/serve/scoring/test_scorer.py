"""Scores in batches are those of the bundle, one query at a time."""

from pathlib import Path

import numpy as np
import pytest

from encoder.metrics.hybrid.scores import HybridWeights
from export.runtime.bundle import Bundle
from streams.serve.scoring.scorer import Scorer, TopQuery
from tests.support.bundles import hybrid_bundle, random_queries, tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=300)


def test_the_best_items_of_several_queries_are_those_of_the_bundles_scores(bundle: Bundle) -> None:
    queries = random_queries(bundle, 20)
    found = Scorer(bundle).top([TopQuery(query, 1 + at) for at, query in enumerate(queries)])
    for at, (scores, one) in enumerate(zip(bundle.scores(queries), found, strict=True)):
        best = np.sort(scores)[::-1][: 1 + at]
        np.testing.assert_allclose(one.dot + one.repeat, best, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scores[one.item - 1], best, rtol=1e-5, atol=1e-6)


def test_items_that_are_left_out_do_not_come_and_the_others_keep_their_order(bundle: Bundle) -> None:
    scorer, query = Scorer(bundle), random_queries(bundle, 1)[0]
    everything = scorer.top([TopQuery(query, 300)])[0].item.tolist()
    left_out = everything[:7] + scorer.recent(query)
    found = scorer.top([TopQuery(query, 300, left_out)])[0]
    assert found.item.tolist() == [item for item in everything if item not in left_out]
    assert not found.repeat.any()


def test_items_that_are_not_allowed_come_neither_as_best_nor_as_similar_items(bundle: Bundle) -> None:
    scorer, query = Scorer(bundle), random_queries(bundle, 1)[0]
    allowed = np.zeros(301, bool)
    allowed[[3, 10, 299, *scorer.recent(query)]] = True
    allowed[0] = True  # the unknown item, which is never recommended
    everything, wanted, left_out = scorer.top(
        [TopQuery(query, 300), *(TopQuery(query, 50, x, allowed) for x in ((), (10,)))]
    )
    assert wanted.item.tolist() == [item for item in everything.item.tolist() if allowed[item]]
    assert left_out.item.tolist() == [item for item in wanted.item.tolist() if item != 10]
    assert scorer.top([TopQuery(query, 5, allowed=np.zeros(301, bool))])[0].item.tolist() == []
    near, cosine = scorer.similar(10, 300)
    found, found_cosine = scorer.similar(10, 300, allowed)
    is_allowed = allowed[near]
    np.testing.assert_array_equal(found, near[is_allowed])
    np.testing.assert_array_equal(found_cosine, cosine[is_allowed])


def test_given_items_have_the_scores_of_the_whole_catalogue(bundle: Bundle) -> None:
    scorer, query = Scorer(bundle), random_queries(bundle, 1, seed=3)[0]
    some = np.array([5, 300, 1, *scorer.recent(query)], np.int64)
    found = scorer.some(query, some)
    assert sorted(found.item.tolist()) == sorted(some.tolist())
    scores = bundle.scores(query[None])[0]
    np.testing.assert_allclose(found.dot + found.repeat, scores[found.item - 1], rtol=1e-5, atol=1e-6)
    assert (np.diff(found.dot + found.repeat) <= 0).all()


def test_a_bundle_without_recent_items_is_scored_by_the_dot_product(tmp_path: Path) -> None:
    from export.exporter import export_model
    from tests.support.bundles import tiny_model, vocabulary_of

    model = tiny_model(50, is_whole=False)
    bundle = export_model(model, vocabulary_of([f"item-{i}" for i in range(50)]), tmp_path / "bundle")
    scorer, query = Scorer(bundle), random_queries(bundle, 1)[0]
    assert scorer.recent(query) == []
    found = scorer.top([TopQuery(query, 50)])[0]
    np.testing.assert_allclose(found.dot, np.sort(bundle.scores(query[None])[0])[::-1], rtol=1e-5, atol=1e-6)
    assert scorer.some(query, np.array([2])).repeat.tolist() == [0]


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return hybrid_bundle(tmp_path_factory.mktemp("hybrid"), items=300)


@pytest.mark.parametrize(("scenario", "given"), [("home", None), ("cart", [17, 4, 251])])
def test_a_hybrid_score_is_the_models_part_and_what_the_context_adds(
    hybrid: Bundle, scenario: str, given: list[int] | None
) -> None:
    scorer, queries = Scorer(hybrid), random_queries(hybrid, 8)
    found = scorer.top([TopQuery(query, 25, scenario=scenario, context=given) for query in queries])
    assert hybrid.hybrid is not None
    has_parts = np.zeros(2, bool)
    for query, model, one in zip(queries, hybrid.scores(queries), found, strict=True):
        context = scorer.recent(query) if given is None else given
        scores = model.copy()
        weights = HybridWeights(**hybrid.manifest.hybrid[scenario])
        hybrid.hybrid.context(context, weights).add(scores)
        np.testing.assert_allclose(one.score(), np.sort(scores)[::-1][:25], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scores[one.item - 1], one.score(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.dot + one.repeat, model[one.item - 1], rtol=1e-5, atol=1e-6)
        assert (np.diff(one.score()) <= 0).all()
        has_parts |= [one.co.any(), one.content.any()]
    assert has_parts.all()


def test_ranked_items_have_the_scores_of_recommendations(hybrid: Bundle) -> None:
    scorer, query = Scorer(hybrid), random_queries(hybrid, 3)[2]
    top = scorer.top([TopQuery(query, 300)])[0]
    some = scorer.some(query, np.arange(1, 301))
    assert top.item.tolist() == some.item.tolist()
    for name in ("dot", "repeat", "co", "content"):
        np.testing.assert_array_equal(getattr(top, name), getattr(some, name))


def test_items_that_are_not_allowed_do_not_come(hybrid: Bundle) -> None:
    allowed = np.zeros(301, bool)
    allowed[[5, 80, 300]] = True
    found = Scorer(hybrid).top([TopQuery(random_queries(hybrid, 1)[0], 20, allowed=allowed)])[0]
    assert sorted(found.item.tolist()) == [5, 80, 300]


def test_a_user_without_recent_items_has_the_models_part_alone(hybrid: Bundle) -> None:
    found = Scorer(hybrid).top([TopQuery(hybrid.initial_query, 20)])[0]
    assert found.co.tolist() == found.content.tolist() == [0] * 20
