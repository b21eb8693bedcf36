"""`thalweg serve --check`, and the users whose questions are asked there."""

import io

import numpy as np
import pytest
from rich.console import Console

from export.runtime.bundle import Bundle
from export.runtime.queries import recent_items
from export.runtime.stepper import Stepper
from streams.cli import main
from streams.serve.scoring import check as module
from streams.serve.scoring import scorer
from streams.serve.scoring.check import check, measure
from streams.serve.scoring.expected_users import MOST_EVENTS, expected_queries
from streams.serve.scoring.item_index import ItemIndex
from streams.serve.scoring.scorer import Scorer
from tests.support.bundles import hybrid_bundle

ITEMS = 3_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return hybrid_bundle(tmp_path_factory.mktemp("check") / "bundle", items=ITEMS, categories=200)


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "CANDIDATES", 300)
    monkeypatch.setattr(module, "USERS", 40)


class Spoiled(ItemIndex):
    """Proposes the items behind the best ones, and says that these were the best."""

    def nearest(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        item, dot = super().nearest(query, 2 * count)
        return item[count:], dot[count:] - 100


def checked(bundle: Bundle, most_exact: int) -> tuple[bool, str]:
    output = io.StringIO()
    return check(bundle, Console(file=output, width=200), most_exact), output.getvalue()


def test_a_large_catalogue_passes_with_a_table_of_recall_and_time(bundle: Bundle) -> None:
    passed, text = checked(bundle, most_exact=ITEMS - 1)
    assert passed
    assert [line.split()[1:4:2] for line in text.splitlines() if "│" in line] == [
        ["home", "20"],
        ["home", "100"],
        ["cart", "20"],
        ["cart", "100"],
    ]
    assert f"{bundle.bundle_id}: the lowest recall is " in text
    assert "0.95" in text


def test_an_index_that_loses_items_is_below_the_floor(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ItemIndex", Spoiled)
    passed, text = checked(bundle, most_exact=0)
    assert not passed
    assert "exact answers alone" in text


def test_the_command_measures_and_ends_with_the_result_of_all_bundles(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["serve", "--check", "--bundle", str(bundle.path)]
    assert main(arguments) == 0
    assert "all answers are exact, since the bundle has 3,000 of at most 200,000 items" in capsys.readouterr().out
    verdicts = iter([False, True])
    monkeypatch.setattr(module, "check", lambda *_: next(verdicts))
    assert main([*arguments, "--bundle", str(bundle.path)]) == 1
    assert next(verdicts, None) is None


def test_the_recall_is_the_share_of_exact_items_and_the_scorer_stays_as_it_was(bundle: Bundle) -> None:
    queries = expected_queries(bundle, Stepper(bundle, on_cpu=True), 30)
    found = Scorer(bundle)
    good, spoiled = (measure(found, kind(found.vectors), queries) for kind in (ItemIndex, Spoiled))
    assert found.index is None
    for one, other in zip(good, spoiled, strict=True):
        assert other.recall < 0.9 < one.recall <= 1
        assert other.exact_share == 0
        assert one.best == 100 or one.exact_share < 1
        assert min(one.exact_ms, one.indexed_ms) > 0


def test_expected_users_are_the_same_each_time_and_their_items_follow_the_model(bundle: Bundle) -> None:
    stepper, places = Stepper(bundle, on_cpu=True), bundle.manifest.recent_places
    queries = expected_queries(bundle, stepper, 400)
    np.testing.assert_array_equal(queries, expected_queries(bundle, stepper, 400))
    assert (queries[:200] != expected_queries(bundle, stepper, 200, seed=1)).any()
    recent, _ = recent_items(queries, places)
    events = (recent > 0).sum(axis=1)
    assert 1 <= events.min() < events.max() <= MOST_EVENTS
    # The first item of a user is drawn by the scores of the initial query, so popular items come first more often.
    first = recent[np.arange(len(recent)), events - 1]
    scores = bundle.scores(bundle.initial_query[None])[0].astype(np.float64)
    probability = np.exp(scores - scores.max())
    probability /= probability.sum()
    popular = np.argsort(-probability)[: ITEMS // 10] + 1
    share, expected = np.isin(first, popular).mean(), probability[popular - 1].sum()
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / len(first))
