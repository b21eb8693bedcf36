"""What the page knows of users: bounded, of one bundle, and nothing of a user who was erased."""

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate
from streams.serve.live import seen_users
from streams.serve.live.projection import project
from streams.serve.live.seen_users import SeenUsers
from tests.support.bundles import random_queries, tiny_bundle

SINCE_MS = 1_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("seen") / "bundle", items=60, width=16)


@pytest.fixture
def seen(bundle: Bundle) -> SeenUsers:
    return SeenUsers(bundle, project(bundle), SINCE_MS)


def evaluation(bundle_id: str, user_id: str, number: int, time_ms: int = 2_000, share: float | None = None) -> Any:
    event = EvaluationEvent(
        id=f"events-0-0-{number}",
        user_id=user_id,
        bundle_id=bundle_id,
        item_id="item-1",
        action="view",
        previous_item_id=None,
        rank=3,
        reciprocal_rank=1 / 3,
        catalogue=60,
        steps=number,
        state_age_ms=None,
        event_time_ms=number,
        share=share,
    )
    return SimpleNamespace(value=msgspec.json.encode(event), timestamp=time_ms, key=None)


def update(bundle: Bundle, user_id: str, steps: int, query: np.ndarray, time_ms: int = 2_000) -> Any:
    """A record of the updates topic with this (Q,) query."""
    width, places = bundle.manifest.representation_width, bundle.manifest.recent_places
    value = RepresentationUpdate(
        user_id=user_id,
        bundle_id=bundle.bundle_id,
        representation=query[:width].astype("<f4").tobytes(),
        steps=steps,
        event_time_ms=steps,
        source=f"events-0-0-{steps}",
        recent_items=np.where(query[width:-places] > 0, query[width:-places], -1).astype("<i4").tobytes(),
        recent_scores=query[-places:].astype("<f4").tobytes(),
    )
    key = f"{bundle.bundle_id}/{user_id}".encode()
    return SimpleNamespace(value=msgspec.json.encode(value), timestamp=time_ms, key=key)


def erasure(bundle: Bundle, user_id: str, time_ms: int) -> Any:
    return SimpleNamespace(value=None, timestamp=time_ms, key=f"{bundle.bundle_id}/{user_id}".encode())


def test_events_of_a_user_are_kept_once_each_and_the_newest_are_kept(seen: SeenUsers, bundle: Bundle) -> None:
    for number in [*range(50), 49, 48]:
        seen.add_event(evaluation(bundle.bundle_id, "u", number))
    assert [event.steps for event in seen.of("u").events] == list(range(20, 50))
    assert [event.steps for event in seen.last] == list(range(38, 50))
    assert not seen.of("other").events


def test_records_that_are_nothing_for_the_page_change_nothing(seen: SeenUsers, bundle: Bundle) -> None:
    seen.add_event(evaluation("gru-other", "u", 1))
    for value in (b"not JSON", b"[]", None):
        seen.add_event(SimpleNamespace(value=value, timestamp=2_000, key=None))
    assert seen.add_update(SimpleNamespace(value=b"not JSON", timestamp=2_000, key=b"u")) is None
    short = update(bundle, "u", 1, random_queries(bundle, 1)[0])
    value = msgspec.json.decode(short.value, type=RepresentationUpdate)
    unknown_item = np.full(bundle.manifest.recent_places, 61, "<i4").tobytes()
    for fields in ({"representation": value.representation[:-4]}, {"recent_items": unknown_item}):
        wrong = msgspec.json.encode(msgspec.structs.replace(value, **fields))
        assert seen.add_update(SimpleNamespace(value=wrong, timestamp=2_000, key=short.key)) is None
    assert (seen.applied, list(seen.last), list(seen.of("u").places)) == (0, [], [])


def test_events_are_counted_from_the_beginning_and_a_sampled_event_counts_several_times(
    seen: SeenUsers, bundle: Bundle
) -> None:
    seen.add_event(evaluation(bundle.bundle_id, "u", 1, SINCE_MS - 1))
    seen.add_event(evaluation(bundle.bundle_id, "u", 2, SINCE_MS))
    seen.add_event(evaluation(bundle.bundle_id, "u", 3, share=0.25))
    assert seen.applied == 5


def test_a_vector_is_placed_on_the_map_and_its_query_is_that_of_the_store(seen: SeenUsers, bundle: Bundle) -> None:
    queries = random_queries(bundle, 3)
    for steps, query in enumerate(queries, 1):
        assert seen.add_update(update(bundle, "u", steps, query)) is not None
    user = seen.of("u")
    expected = seen.projection.place(queries)
    np.testing.assert_allclose([(place.x, place.y) for place in user.places], expected, atol=1e-6)
    assert user.places[0].turned_degrees is None
    assert 0 < (user.places[1].turned_degrees or 0) <= 180
    before = user.query_before(3)
    assert before is not None
    assert before[0] == 2
    np.testing.assert_array_equal(before[1], queries[1])
    assert user.query_before(2) is None, "only the last two vectors are kept"


def test_a_replay_that_writes_an_update_again_moves_nothing(seen: SeenUsers, bundle: Bundle) -> None:
    first, second = random_queries(bundle, 2)
    for steps, query in ((1, first), (2, second), (1, first), (2, second)):
        seen.add_update(update(bundle, "u", steps, query))
    assert [place.steps for place in seen.of("u").places] == [1, 2]


def test_an_erased_user_is_forgotten_and_what_was_before_does_not_come_back(seen: SeenUsers, bundle: Bundle) -> None:
    query = random_queries(bundle, 1)[0]
    for user in ("gone", "kept"):
        seen.add_event(evaluation(bundle.bundle_id, user, 1, 2_000))
        seen.add_update(update(bundle, user, 1, query, 2_000))
    seen.add_update(erasure(bundle, "gone", 3_000))
    seen.add_event(evaluation(bundle.bundle_id, "gone", 2, 2_500))  # the evaluation topic is read later
    assert seen.add_update(update(bundle, "gone", 2, query, 2_500)) is None
    assert (list(seen.of("gone").events), list(seen.of("gone").places)) == ([], [])
    assert [event.user_id for event in seen.last] == ["kept"]
    seen.add_event(evaluation(bundle.bundle_id, "gone", 3, 3_500))  # the user came back
    assert [event.steps for event in seen.of("gone").events] == [3]


def test_the_users_seen_last_are_kept(seen: SeenUsers, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_users, "USERS", 3)
    for number, user in enumerate(["a", "b", "c", "a", "d", "e"]):
        seen.add_event(evaluation(bundle.bundle_id, user, number))
    assert [bool(seen.of(user).events) for user in "abcde"] == [True, False, False, True, True]
