"""The page and the explanations recommend what `recommendations` would: an item of the catalogue that is available."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streams.contracts.catalogue_items import CatalogueItem
from streams.serve.catalogue.progress import Progress
from streams.serve.http.middleware import Application
from streams.serve.live.live import Live
from streams.serve.live.projection import project
from streams.serve.live.seen_users import SeenUser, SeenUsers
from streams.serve.scoring.active_model import Model
from streams.store.served_rows import ServedRow
from tests.support.bundles import hybrid_bundle, random_queries
from tests.tools.serving import application, ask

ITEMS = 60
EVENTS = [{"item_id": f"item-{number}", "action": "view", "event_time_ms": 1_000 * number} for number in (3, 9, 40)]
NO_TABLES: Any = SimpleNamespace(prepare=str)  # a session of Cassandra that only prepares


class ModelOfOneRow(Model):
    """A model for which every user has the same row."""

    stored: ServedRow

    async def row(self, user_id: str) -> ServedRow | None:
        assert user_id
        return self.stored


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelOfOneRow:
    bundle = hybrid_bundle(tmp_path_factory.mktemp("bundle") / "hybrid", items=ITEMS)
    made = ModelOfOneRow(bundle, NO_TABLES, "keyspace", ThreadPoolExecutor(1))
    none = np.empty(0, np.int64)
    made.stored = ServedRow(random_queries(bundle, 1)[0], none, none, 3, 1, None, 1)
    return made


@pytest.fixture(autouse=True)
def _seen(model: ModelOfOneRow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map is there without a Kafka, and another vector of the user was seen before."""
    before = random_queries(model.bundle, 2, seed=5)[1]
    seen = SeenUsers(model.bundle, project(model.bundle), 0)

    async def found(_: Live, bundle_id: str) -> SeenUsers:
        assert bundle_id == model.bundle_id
        return seen

    monkeypatch.setattr(Live, "seen_users", found)
    monkeypatch.setattr(SeenUser, "query_before", lambda _, steps: (steps - 1, before))


def with_available(model: ModelOfOneRow, *numbers: int) -> Application:
    progress = Progress("following", has_loaded=True)
    for number in range(1, ITEMS + 1):
        progress.catalogue.put(CatalogueItem(f"item-{number}", f"name {number}", available=number in numbers))
    return application(current=lambda: model, progress=progress)


def items_of(answer: Any) -> list[str]:
    return [one["item_id"] for one in answer["items"]]


def test_the_page_recommends_the_items_of_recommendations_before_and_after(model: ModelOfOneRow) -> None:
    app = with_available(model, 7, 8, 50)
    shown = ask(app, "GET", "/v1/live/users/u").json()
    assert items_of(shown["after"]) == items_of(ask(app, "GET", "/v1/users/u/recommendations").json())
    assert set(items_of(shown["after"])) == set(items_of(shown["before"])) == {"item-7", "item-8", "item-50"}
    assert sorted(one["rank_before"] for one in shown["after"]["items"]) == [1, 2, 3]


def test_the_page_shows_no_items_where_none_is_available(model: ModelOfOneRow) -> None:
    shown = ask(with_available(model), "GET", "/v1/live/users/u").json()
    assert (items_of(shown["after"]), items_of(shown["before"])) == ([], [])


def test_the_page_works_while_the_catalogue_is_read(model: ModelOfOneRow) -> None:
    app = application(current=lambda: model, progress=Progress("loading"))
    assert ask(app, "GET", "/v1/users/u/recommendations").status_code == 503
    assert len(items_of(ask(app, "GET", "/v1/live/users/u").json()["after"])) == 10


def test_ranked_items_have_the_names_of_the_catalogue(model: ModelOfOneRow) -> None:
    body = {"user_id": "u", "item_ids": ["item-4", "item-9"]}
    items = ask(with_available(model), "POST", "/v1/rank", json=body).json()["items"]
    assert {one["item_id"]: one.get("name") for one in items} == {"item-4": "name 4", "item-9": "name 9"}


def of_user(app: Application) -> Any:
    return ask(app, "GET", "/v1/users/u/explanation?events=false")


def of_session(app: Application) -> Any:
    return ask(app, "POST", "/v1/explanation", json={"events": EVENTS})


@pytest.mark.parametrize("explained", [of_user, of_session])
def test_an_explanation_without_an_item_never_explains_an_item_that_is_not_available(
    model: ModelOfOneRow, explained: Callable[[Application], Any]
) -> None:
    assert explained(with_available(model, 8)).json()["item_id"] == "item-8"
    answer = explained(with_available(model))
    assert (answer.status_code, answer.json()["type"]) == (404, "no-item")
    assert explained(application(current=lambda: model, progress=Progress("loading"))).status_code == 503


def test_both_explanations_choose_the_first_recommended_item_by_the_whole_score(model: ModelOfOneRow) -> None:
    app = with_available(model, *range(1, ITEMS + 1))
    first = ask(app, "GET", "/v1/users/u/recommendations?k=1").json()
    assert of_user(app).json()["item_id"] == items_of(first)[0]
    session = of_session(app).json()
    stepped = ask(app, "POST", "/v1/step", json={"events": EVENTS, "k": 1}).json()
    assert session["item_id"] == items_of(stepped)[0]
    assert session["rank"] > 1, "the model's part alone has another item first, so this test tells both apart"


def test_a_step_names_items_and_actions_that_the_bundle_does_not_know(model: ModelOfOneRow) -> None:
    app = with_available(model, 3)
    event = {"item_id": "item-3", "action": "view", "event_time_ms": 1_000}
    strange = [
        {**event, "action": "Product Viewed"},
        {**event, "item_id": "no item"},
        {**event, "action": "Product Viewed"},
    ]
    answer = ask(app, "POST", "/v1/step", json={"events": [event, *strange]}).json()
    assert (answer["steps"], answer["unknown_items"], answer["unknown_actions"]) == (4, ["no item"], ["Product Viewed"])
