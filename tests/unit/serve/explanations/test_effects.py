"""The effects of events beside histories that are stepped without each of them, one event at a time."""

import numpy as np
import pytest

from encoder.data.events import BehaviorEvent
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.serve.explanations.effects import UserRecord, event_effects, explain_records, score_parts
from tests.support.bundles import tiny_bundle
from tests.support.graphs.single_steps import one_by_one

TIMES_S = (100, 160, 90, 5_000, 4_990, 90_000)  # the third and the fifth come late
ITEMS = ("item-3", "item-9", "unheard", "item-3", "item-40", "item-77")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=80)


@pytest.fixture(scope="module")
def stepper(bundle: Bundle) -> Stepper:
    return Stepper(bundle)


def records() -> list[UserRecord]:
    pairs = enumerate(zip(ITEMS, TIMES_S, strict=True))
    return [
        UserRecord(
            place + 7,
            10**12,
            BehaviorEvent(event_id=f"e{place}", user_id="u", item_id=item, action="view", event_time_ms=time_s * 1000),
        )
        for place, (item, time_s) in pairs
    ]


def best(bundle: Bundle, query: np.ndarray) -> int:
    return int(bundle.scores(query[None])[0].argmax()) + 1


def columns(bundle: Bundle, events: list[BehaviorEvent]) -> list[tuple[int, int, int]]:
    return [
        (bundle.item_index.get(one.item_id, 0), bundle.action_index[one.action], one.event_time_ms) for one in events
    ]


def test_each_effect_is_that_of_a_worker_that_never_got_the_event(bundle: Bundle, stepper: Stepper) -> None:
    given = records()
    events = [one.outcome for one in given]
    twice = UserRecord(99, 10**12, events[1])  # a producer's duplicate, which counts once
    item = bundle.item_index["item-40"]
    found = explain_records(bundle, stepper, [*given, twice], item, most=4)
    whole = one_by_one(bundle, stepper, columns(bundle, events))[-1]
    np.testing.assert_allclose(found.query, whole, atol=1e-5)
    assert (found.steps, found.events) == (6, events[-4:])
    width = bundle.manifest.representation_width
    effects = event_effects(bundle, found)
    assert [effect["is_known_item"] for effect in effects] == [False, True, True, True]
    for place, effect in enumerate(effects, 2):
        without = one_by_one(bundle, stepper, columns(bundle, events[:place] + events[place + 1 :]))[-1]
        assert effect["item_id"] == ITEMS[place]
        distance = np.linalg.norm(whole[:width] - without[:width])
        assert effect["moved_l2"] == pytest.approx(distance, abs=1e-5)
        assert distance > 1e-3
        score, lacking = (bundle.scores(query[None])[0, item - 1] for query in (whole, without))
        assert effect["score_change"] == pytest.approx(score - lacking, abs=1e-5)
        assert effect["rank_without"] == stepper.rank(without[None], np.array([item]))[0]


def test_only_so_many_steps_count_as_the_row_has(bundle: Bundle, stepper: Stepper) -> None:
    given = records()
    found = explain_records(bundle, stepper, given, lambda query: best(bundle, query), most=100, steps=3)
    whole = one_by_one(bundle, stepper, columns(bundle, [one.outcome for one in given[:3]]))[-1]
    np.testing.assert_allclose(found.query, whole, atol=1e-5)
    assert (found.steps, len(event_effects(bundle, found))) == (3, 3)
    assert found.explanation.rank == 1


def test_only_the_history_since_the_user_came_back_counts(bundle: Bundle, stepper: Stepper) -> None:
    """The third and the fifth event come more than a day after the ones before."""
    days = (0, 1, 3, 3, 5, 6)
    given = [one._replace(timestamp=10**12 + days[place] * 86_400_000) for place, one in enumerate(records())]
    events = [one.outcome for one in given]
    found = explain_records(bundle, stepper, given, 1, most=100, steps=2, user_ttl_ms=86_400_000)
    whole = one_by_one(bundle, stepper, columns(bundle, events[4:]))[-1]
    np.testing.assert_allclose(found.query, whole, atol=1e-5)
    assert (found.steps, found.events) == (2, events[4:])
    assert explain_records(bundle, stepper, given, 1, most=100).steps == 6, "without a limit, no history expires"


def test_the_parts_of_a_score_sum_to_the_score_of_the_bundle(bundle: Bundle, stepper: Stepper) -> None:
    query = one_by_one(bundle, stepper, columns(bundle, [one.outcome for one in records()]))[-1]
    for name in ("item-3", "item-5"):
        item = bundle.item_index[name]
        parts = score_parts(bundle, stepper, query, item)
        assert parts["model_score"] == pytest.approx(float(bundle.scores(query[None])[0, item - 1]), rel=1e-5)
        assert parts["dot"] + parts["repeat"] == parts["model_score"]
        assert parts["rank"] == stepper.rank(query[None], np.array([item]))[0]
        recent = {one["item_id"]: one for one in parts["recent_items"]}
        assert list(recent) == ["item-77", "item-40", "item-3", "item-9"]
        assert parts["repeat"] == (recent[name]["repeat"] if name in recent else 0)
    assert recent["item-3"]["cosine"] != pytest.approx(1)
    same = score_parts(bundle, stepper, query, bundle.item_index["item-3"])["recent_items"]
    assert next(one["cosine"] for one in same if one["item_id"] == "item-3") == pytest.approx(1)


def test_a_history_without_an_event_that_counts_has_the_initial_vector(bundle: Bundle, stepper: Stepper) -> None:
    found = explain_records(bundle, stepper, [], 1, most=5)
    np.testing.assert_array_equal(found.query, bundle.initial_query)
    assert event_effects(bundle, found) == []
