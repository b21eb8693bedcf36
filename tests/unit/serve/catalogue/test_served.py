"""What the routes get while the catalogue is read, is missing, or cannot be read."""

import pytest

from export.runtime.bundle import Bundle
from streams.contracts.catalogue_items import CatalogueItem
from streams.serve.catalogue import Catalogue
from streams.serve.catalogue.filters import Filters
from streams.serve.catalogue.progress import Progress, State
from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.http.problems import ProblemError
from tests.support.bundles import tiny_bundle
from tests.tools.serving import application, ask

CHEAP = Filters(price_max=1.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=5)


@pytest.mark.parametrize("state", ["starting", "loading"])
def test_during_the_first_reading_an_answer_says_to_try_again(bundle: Bundle, state: State) -> None:
    served = ServedCatalogue(Progress(state, lag_records=7))
    for call in (lambda: served.allowed(bundle), lambda: served.get("item-1")):
        with pytest.raises(ProblemError, match="being read, 7 records are left") as caught:
            call()
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


def test_without_a_topic_every_item_is_recommended_and_filters_leave_nothing(bundle: Bundle) -> None:
    served = ServedCatalogue(Progress("absent"))
    assert served.allowed(bundle) is None
    assert served.get("item-1") is None
    mask = served.allowed(bundle, CHEAP)
    assert mask is not None
    assert not mask.any()


def test_a_catalogue_that_was_never_read_refuses_what_needs_the_catalogue_alone(bundle: Bundle) -> None:
    served = ServedCatalogue(Progress("unreachable"))
    assert served.allowed(bundle) is None
    for call in (lambda: served.allowed(bundle, CHEAP), lambda: served.get("item-1")):
        with pytest.raises(ProblemError, match="never read") as caught:
            call()
        assert caught.value.status == 503


def test_a_new_reading_replaces_the_masks_and_until_then_the_former_catalogue_counts(bundle: Bundle) -> None:
    progress = Progress("following", has_loaded=True)
    served = ServedCatalogue(progress)
    progress.catalogue.put(CatalogueItem("item-2", price=1.0))
    progress.state = "unreachable"
    mask = served.allowed(bundle, CHEAP)
    assert mask is not None
    assert mask.tolist() == [False, False, True, False, False, False]
    progress.catalogue = Catalogue()
    progress.catalogue.put(CatalogueItem("item-4", price=1.0))
    mask = served.allowed(bundle, CHEAP)
    assert mask is not None
    assert mask.tolist() == [False, False, False, False, True, False]


def test_the_status_and_the_metrics_say_how_far_the_catalogue_is() -> None:
    progress = Progress("loading", lag_records=12, broken=3)
    progress.catalogue.put(CatalogueItem("item-2"))
    app = application(progress=progress)
    assert ask(app, "GET", "/v1/catalogue").json() == {"state": "loading", "items": 1, "lag_records": 12, "broken": 3}
    text = ask(app, "GET", "/metrics").text
    for line in ("items 1.0", "lag_records 12.0", "broken_records 3.0", "left_out_items 0.0", "following 0.0"):
        assert f"thalweg_catalogue_{line}" in text
