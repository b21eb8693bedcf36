"""Answers with an index beside exact ones: which items come, with which scores, and when an index does not suffice."""

import logging
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from export.exporter import export_model
from export.runtime.bundle import Bundle
from streams.config.errors import SettingsError
from streams.serve.scoring import active_model, scorer
from streams.serve.scoring.item_index import EXTRA, ItemIndex
from streams.serve.scoring.scorer import Scored, Scorer, TopQuery
from tests.support.bundles import hybrid_bundle, random_queries, tiny_model, vocabulary_of

ITEMS = 6_000
PROPOSED = 600


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose scores are dot products alone."""
    model = tiny_model(ITEMS, is_whole=False)
    vocabulary = vocabulary_of([f"item-{i}" for i in range(1, ITEMS + 1)])
    return export_model(model, vocabulary, tmp_path_factory.mktemp("plain") / "bundle")


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return hybrid_bundle(tmp_path_factory.mktemp("hybrid") / "bundle", items=ITEMS, categories=400)


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "CANDIDATES", PROPOSED)  # a tenth of the items


class Proposing:
    """Proposes given items, with the dot product of each, as an index does."""

    def __init__(self, vectors: NDArray[np.float32], item: Sequence[int]) -> None:
        self.vectors, self.item, self.asked = vectors, np.array(item), 0

    def nearest(self, query: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        self.asked += 1
        dot = self.vectors[self.item] @ query
        order = np.argsort(-dot)[:count]
        return self.item[order], dot[order]


def indexed(bundle: Bundle) -> Scorer:
    found = Scorer(bundle)
    found.index = ItemIndex(found.vectors)
    return found


def recall(exact: Sequence[Scored], found: Sequence[Scored]) -> float:
    return float(np.mean([np.isin(one.item, other.item).mean() for one, other in zip(exact, found, strict=True)]))


@pytest.mark.parametrize("name", ["plain", "hybrid"])
@pytest.mark.parametrize("most", [20, 100])
def test_nearly_all_of_the_best_items_come_and_their_scores_are_exact(
    name: str, most: int, request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(name)
    exact, approximate = Scorer(bundle), indexed(bundle)
    queries = [TopQuery(query, most) for query in random_queries(bundle, 40)]
    found = approximate.top(queries)
    assert recall(exact.top(queries), found) >= 0.97
    for query, one in zip(queries, found, strict=True):
        assert len(one.item) == len(set(one.item.tolist())) == most
        for part, expected in zip(one, exact.some(query.query, one.item), strict=True):
            np.testing.assert_array_equal(part, expected)


def test_most_answers_need_no_pass_over_all_items(plain: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    approximate, passes = indexed(plain), list[int]()
    exact = approximate.exact
    monkeypatch.setattr(approximate, "exact", lambda queries: passes.append(len(queries)) or exact(queries))
    queries = [TopQuery(query, 20) for query in random_queries(plain, 40)]
    approximate.top(queries)
    assert passes == []
    assert [len(one.item) for one in approximate.top([*queries[:3], TopQuery(queries[3].query, PROPOSED + 1)])] == [
        *[20] * 3,
        PROPOSED + 1,
    ]
    assert passes == [1]


def test_recent_items_and_companions_come_although_the_index_does_not_propose_them(hybrid: Bundle) -> None:
    approximate, counts = Scorer(hybrid), hybrid.hybrid
    assert counts is not None
    query = max(random_queries(hybrid, 20), key=lambda one: len(approximate.recent(one)))
    recent = approximate.recent(query)
    with_others = {*recent, *counts.context(recent, approximate._weights["home"]).companions.tolist()}
    worst = np.argsort(approximate.vectors[1:] @ query[: approximate.vectors.shape[1]])[:50] + 1
    approximate.index = index = Proposing(approximate.vectors, [int(item) for item in worst if item not in with_others])
    # Content adds to the items of these categories, and without it the bound is the dot product of the worst items.
    home = approximate._weights["home"]
    approximate._weights["home"] = home._replace(content=0.0, co=100.0)
    found = approximate.top([TopQuery(query, 20)])[0]
    assert index.asked == 1
    assert found.item.tolist() == approximate.exact([TopQuery(query, 20)])[0].item.tolist()
    assert found.co.all()


def test_items_that_share_content_come_although_the_index_does_not_propose_them(hybrid: Bundle) -> None:
    """An item with a category of the context may have a higher score than all proposed items."""
    approximate = Scorer(hybrid)
    approximate._weights["home"] = approximate._weights["home"]._replace(content=50.0)
    query = max(random_queries(hybrid, 20), key=lambda one: len(approximate.recent(one)))
    best = np.argsort(-(approximate.vectors[1:] @ query[: approximate.vectors.shape[1]]))[:100] + 1
    approximate.index = Proposing(approximate.vectors, best.tolist())
    found, exact = approximate.top([TopQuery(query, 20)])[0], approximate.exact([TopQuery(query, 20)])[0]
    assert not np.isin(exact.item, best).all()
    assert found.item.tolist() == exact.item.tolist()


@pytest.mark.parametrize("allowed_items", [1, 5, 40, 370, 1_500, 3_000])
def test_a_filter_leaves_allowed_items_alone_and_as_many_as_there_are(hybrid: Bundle, allowed_items: int) -> None:
    exact, approximate = Scorer(hybrid), indexed(hybrid)
    allowed = np.zeros(ITEMS + 1, bool)
    allowed[np.random.default_rng(2).choice(ITEMS, allowed_items, replace=False) + 1] = True
    queries = [TopQuery(query, 20, exact.recent(query), allowed) for query in random_queries(hybrid, 10, seed=7)]
    queries += [one._replace(scenario="cart", context=(3, 4, 5), left_out=(3, 4, 5)) for one in queries]
    expected, found = exact.top(queries), approximate.top(queries)
    for query, one, other in zip(queries, expected, found, strict=True):
        assert len(one.item) == len(other.item)
        assert allowed[other.item].all()
        assert not set(other.item.tolist()) & set(query.left_out)
    assert recall(expected, found) >= (1 if allowed_items < ITEMS / scorer.FEW_ALLOWED else 0.97)


def test_nothing_comes_where_nothing_is_allowed(plain: Bundle) -> None:
    wanted = TopQuery(random_queries(plain, 1)[0], 20, allowed=np.zeros(ITEMS + 1, bool))
    assert indexed(plain).top([wanted])[0].item.tolist() == []


def test_the_best_items_of_a_filter_come_also_where_the_index_proposes_none_of_them(plain: Bundle) -> None:
    approximate = indexed(plain)
    query = random_queries(plain, 1)[0]
    allowed = np.ones(ITEMS + 1, bool)
    allowed[approximate.exact([TopQuery(query, ITEMS // 2)])[0].item] = False
    wanted = TopQuery(query, 20, allowed=allowed)
    assert approximate.top([wanted])[0].item.tolist() == approximate.exact([wanted])[0].item.tolist()


def test_without_faiss_the_error_names_the_extra_and_a_server_warns_once_and_stays_exact(
    plain: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert not active_model.can_index([plain])  # There is no warning for a catalogue that needs no index.
    monkeypatch.setattr(active_model, "MOST_EXACT", ITEMS - 1)
    assert active_model.can_index([plain])
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SettingsError, match=r"thalweg\[approximate\]"):
        ItemIndex(Scorer(plain).vectors)
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        assert not active_model.can_index([plain, plain])
    (message,) = caplog.messages
    assert f"{ITEMS} items" in message
    assert EXTRA in message


def test_an_index_of_few_items_finds_all_of_them() -> None:
    vectors = np.random.default_rng(0).normal(size=(41, 7)).astype(np.float32)
    item, dot = ItemIndex(vectors).nearest(vectors[3], 100)
    assert sorted(item.tolist()) == list(range(1, 41))
    assert (np.diff(dot) <= 0).all()
