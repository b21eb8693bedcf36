"""`thalweg serve` beside a real worker: churn, the next event, look-alikes and explanations of users."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from encoder.metrics.time_mixture import TimeMixture
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.broker.topics import ensure_topics
from streams.engine.codec import ContractDecoder
from streams.local import LocalServices
from streams.serve.client import ApiError, Client
from streams.serve.explanations import history
from streams.serve.lookalikes.follower import LookalikeFollower
from streams.serve.scoring import active_model
from streams.serve.scoring.active_model import ActiveModel
from streams.serve.scoring.scorer import TopQuery
from streams.store.session import Session
from streams.store.store import open_store
from tests.support.deployment import Deployment, event, record, shopping
from tests.tools.serving import Server

SETTLED_WITHIN_S = 30.0
COUNTERS = 3  # components at the end of a representation, which look-alikes leave out
SESSION = [("item-3", "view", 10**12), ("item-9", "cart", 10**12 + 5_000), ("item-3", "view", 10**12 + 1_000)]


@pytest.fixture(scope="module")
def served(
    services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Server]]:
    """A worker that has applied 600 events of 40 users, and a server with an index of users beside the worker."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("questions"))
    deployment.send(shopping(600, 40))
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    server = Server(deployment.settings, deployment.folder / "server.log", ["--lookalikes"])
    server.start()
    wait_until(lambda: server.client.get("/readyz").status_code == 200, server)
    yield deployment, server
    server.stop()
    worker.stop()


def wait_until(is_so: Callable[[], Any], server: Server) -> None:
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, server.log.read_text()[-2_000:]
        time.sleep(0.1)


def stored(deployment: Deployment) -> dict[str, Any]:
    """Return the stored rows by user."""
    store = open_store(deployment.settings, deployment.bundle)
    found = {user.user_id: user for user in store.users.scan()}
    store.close()
    return found


def test_churn_and_the_next_event_are_those_of_the_heads_after_the_wait(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    bundle, user = deployment.bundle, stored(deployment)["user-4"]
    query = bundle.queries(user.representation[None], user.state[None])
    predicted = Stepper(bundle).predict(query, np.zeros(1, np.int64))
    at_ms = user.last_time_ms + 3_600_000
    found = server.ask("/v1/users/user-4/churn", days=2.5, at_ms=at_ms)
    assert (found["waited_ms"], found["steps"], found["bundle_id"]) == (3_600_000, user.steps, bundle.bundle_id)
    mixture = TimeMixture(predicted.time_mixture)
    assert found["probability"] == pytest.approx(mixture.silence(2.5 * 86_400, 3_600)[0], rel=1e-4)
    following = server.ask("/v1/users/user-4/next", at_ms=at_ms)
    probabilities = {one["action"]: one["probability"] for one in following["actions"]}
    assert [probabilities[name] for name in bundle.vocabulary.actions] == pytest.approx(
        predicted.action_probability[0, 1:].tolist(), rel=1e-4
    )
    assert sum(probabilities.values()) + following["other_action"] == pytest.approx(1, abs=1e-5)
    assert following["action"] == following["actions"][0]["action"]
    assert [one["share"] for one in following["times"]] == [0.1, 0.25, 0.5, 0.75, 0.9]
    for one in following["times"]:
        risk = server.ask("/v1/users/user-4/churn", days=one["within_ms"] / 86_400_000, at_ms=at_ms)["probability"]
        assert risk == pytest.approx(1 - one["share"], abs=1e-3)
    now = server.ask("/v1/users/user-4/churn", days=30)
    assert abs(now["at_ms"] - time.time() * 1000) < 60_000
    assert now["waited_ms"] == now["at_ms"] - user.last_time_ms
    for question in ("churn?days=1", "next", "lookalikes", "explanation"):
        assert server.ask(f"/v1/users/nobody/{question}", status=404)["type"] == "unknown-user"


def test_lookalikes_are_the_nearest_rows_and_an_erased_user_is_none(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    wait_until(lambda: server.client.get("/v1/users/user-4/lookalikes").status_code == 200, server)
    wait_until(lambda: server.ask("/v1/users/user-4/lookalikes")["index_users"] == 40, server)
    users = stored(deployment)
    vectors = {name: user.representation[:-COUNTERS].astype(np.float64) for name, user in users.items()}
    directions = {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}
    cosine = {name: float(one @ directions["user-4"]) for name, one in directions.items() if name != "user-4"}
    expected = sorted(cosine, key=lambda name: -cosine[name])
    found = server.ask("/v1/users/user-4/lookalikes", k=7)
    assert [one["user_id"] for one in found["users"]] == expected[:7]
    assert [one["cosine"] for one in found["users"]] == pytest.approx([cosine[name] for name in expected[:7]], abs=1e-5)
    assert (found["index_records_behind"], found["index_is_full"]) == (0, False)
    assert 0 <= found["index_age_ms"] < 5_000
    nearest = expected[0]
    assert server.client.delete(f"/v1/users/{nearest}").status_code == 202
    deployment.wait_until_committed()
    assert nearest not in shown(server), "the row is gone once the worker has committed the erasure"
    wait_until(lambda: server.ask("/v1/users/user-4/lookalikes")["index_users"] == 39, server)
    deployment.send([record(event("again", nearest, "item-2", time_ms=11 * 10**11))])
    wait_until(lambda: server.ask("/v1/users/user-4/lookalikes")["index_users"] == 40, server)


def test_an_index_that_was_long_away_forgets_users_whose_tombstones_are_gone(
    served: tuple[Deployment, Server],
) -> None:
    deployment, server = served
    follower = LookalikeFollower(deployment.settings, [deployment.bundle], lambda _: deployment.settings.updates_topic)
    index = follower.indexes[deployment.bundle.bundle_id]

    async def follow() -> None:
        async with follower.following():
            await asyncio.to_thread(wait_until, lambda: follower.age_ms is not None, server)
            users = len(index)
            index.put(["erased-long-ago"], np.ones((1, index.width), np.float32))
            await asyncio.sleep(1)
            assert len(index) == users + 1, "nothing tells the index of the user"
            follower._complete_at_ms = 0
            await asyncio.to_thread(wait_until, lambda: len(index) == users, server)

    asyncio.run(follow())


def shown(server: Server) -> set[str]:
    return {one["user_id"] for one in server.ask("/v1/users/user-4/lookalikes", k=100)["users"]}


def test_an_explanation_has_the_effects_of_the_events_that_gave_the_stored_vector(
    served: tuple[Deployment, Server],
) -> None:
    deployment, server = served
    sent = [record(event(f"x{i}", "explained", *one)) for i, one in enumerate(SESSION)]
    deployment.send([*sent, sent[1]])  # the last one is a producer's duplicate
    deployment.wait_until_committed()
    found = server.ask("/v1/users/explained/explanation", item="item-7")
    assert found["events_missing"] is None
    assert [(one["item_id"], one["action"], one["event_time_ms"]) for one in found["events"]] == SESSION
    ranked = server.send("/v1/rank", {"user_id": "explained", "item_ids": ["item-7"]})["items"][0]
    assert [found[name] for name in ("score", "dot", "repeat")] == pytest.approx(
        [ranked[name] for name in ("score", "dot", "repeat")], rel=1e-5, abs=1e-6
    )
    assert [one["item_id"] for one in found["recent_items"]] == ["item-3", "item-9"]
    events = [{"item_id": item, "action": action, "event_time_ms": time_ms} for item, action, time_ms in SESSION]
    session = server.send("/v1/explanation", {"events": events, "item_id": "item-7"})
    assert_same_effects(session["events"], found["events"])
    without = server.send("/v1/step", {"events": events[1:], "k": 1})
    row = server.ask("/v1/users/explained/representation")["representation"]
    distance = np.linalg.norm(np.array(row) - np.array(without["representation"]))
    assert found["events"][0]["moved_l2"] == pytest.approx(distance, abs=1e-4)
    first = server.ask("/v1/users/explained/recommendations", k=1)["items"][0]["item_id"]
    assert server.ask("/v1/users/explained/explanation")["item_id"] == first
    assert server.ask("/v1/users/explained/explanation", item="none", status=404)["type"] == "unknown-item"


def assert_same_effects(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for name in ("moved_cosine", "moved_l2", "score_change"):
        assert [one[name] for one in found] == pytest.approx([one[name] for one in expected], abs=1e-4)


def test_a_history_is_read_in_chunks_and_within_its_bounds(
    served: tuple[Deployment, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, _ = served
    steps = stored(deployment)["user-7"].steps
    session = Session(deployment.settings)
    reader, bundle_id = (
        history.HistoryReader(deployment.settings, session, ContractDecoder()),
        deployment.bundle.bundle_id,
    )
    at_once = reader.read("user-7", bundle_id, steps)
    monkeypatch.setattr(history, "CHUNK_RECORDS", 7)
    in_chunks = reader.read("user-7", bundle_id, steps)
    assert list(in_chunks) == list(at_once)
    assert len(in_chunks) == steps
    assert len(reader.read("user-7", bundle_id, 2)) < steps, "the reading stops when there are enough events"
    with pytest.raises(history.HistoryError, match=rf"{steps} of the user's {steps + 1} events .* holds no older"):
        reader.read("user-7", bundle_id, steps + 1)
    monkeypatch.setattr(history, "MOST_RECORDS", 3)
    with pytest.raises(history.HistoryError, match=r"among the 3 records .* the most for an answer"):
        reader.read("user-7", bundle_id, steps)
    with pytest.raises(history.HistoryError, match="the row has gone"):
        reader.read("nobody", bundle_id, 1)
    session.close()


def test_the_client_asks_what_curl_asks(served: tuple[Deployment, Server]) -> None:
    _, server = served
    with Client(f"http://{server.address}") as client:
        found = client.recommendations("user-4", k=3, exclude=["item-1", "item-2"], exclude_recent=True)
        query = "k=3&exclude=item-1&exclude=item-2&exclude_recent=true"
        assert found == server.ask(f"/v1/users/user-4/recommendations?{query}")
        assert client.representation("user-4")["steps"] > 0
        event = {"item_id": "item-3", "action": "view", "event_time_ms": 1}
        assert client.post("explanation", {"events": [event]})["steps"] == 1
        with pytest.raises(ApiError, match="404 unknown-user: user 'no/body'"):
            client.get("users", "no/body", "next")


def test_after_an_erasure_only_later_events_are_explained(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    key = b"returned"
    before, after = (record(event(name, "returned", "item-5", time_ms=10**12)) for name in ("r0", "r1"))
    deployment.send([before, (key, None), after])
    deployment.wait_until_committed()
    found = server.ask("/v1/users/returned/explanation")
    assert (found["steps"], len(found["events"])) == (1, 1)
    bare = server.ask("/v1/users/returned/explanation", events=False)
    assert (bare["events"], bare["score"]) == (None, found["score"])


def test_while_kafka_is_away_the_index_answers_with_its_age_and_explanations_say_what_is_missing(
    served: tuple[Deployment, Server], services: LocalServices
) -> None:
    _, server = served
    before = shown(server)
    services.kafka.pause()
    try:
        time.sleep(3)
        found = server.ask("/v1/users/user-4/lookalikes", k=100)
        explained = server.ask("/v1/users/user-5/explanation")
        churn = server.ask("/v1/users/user-5/churn", days=1)
    finally:
        services.kafka.resume()
    assert {one["user_id"] for one in found["users"]} == before
    assert "thalweg_api_lookalike_users 42.0" in server.client.get("/metrics").text
    assert found["index_age_ms"] > 2_000
    assert explained["events"] is None
    assert explained["events_missing"]
    assert explained["rank"] == 1
    assert 0 <= churn["probability"] <= 1
    wait_until(lambda: server.ask("/v1/users/user-4/lookalikes")["index_age_ms"] < 2_000, server)


def test_a_server_without_an_index_says_how_to_get_one_and_a_killed_one_builds_it_again(
    served: tuple[Deployment, Server],
) -> None:
    deployment, server = served
    before = server.ask("/v1/users/user-4/lookalikes", k=100)["users"]
    server.kill()
    server.start()
    wait_until(lambda: server.client.get("/v1/users/user-4/lookalikes").status_code == 200, server)
    assert server.ask("/v1/users/user-4/lookalikes", k=100)["users"] == before
    folder = deployment.folder / "plain"
    folder.mkdir()
    plain = Server(deployment.settings, folder / "server.log")
    plain.start()
    wait_until(lambda: plain.client.get("/readyz").status_code == 200, plain)
    problem = plain.ask("/v1/users/user-4/lookalikes", status=404)
    assert problem["type"] == "no-lookalikes"
    assert "--lookalikes" in problem["detail"]
    plain.stop()


def test_until_the_index_is_complete_the_answer_says_when_to_come_back(served: tuple[Deployment, Server]) -> None:
    deployment, _ = served
    folder = deployment.folder / "early"
    folder.mkdir()
    settings = deployment.settings_with(updates_topic=f"{deployment.settings.updates_topic}.later")
    server = Server(settings, folder / "server.log", ["--lookalikes"])
    server.start()
    wait_until(lambda: server.client.get("/readyz").status_code == 200, server)
    answer = server.client.get("/v1/users/user-4/lookalikes")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "index-not-ready"
    ensure_topics(settings)
    wait_until(lambda: server.client.get("/v1/users/user-4/lookalikes").status_code == 200, server)
    assert server.ask("/v1/users/user-4/lookalikes")["users"] == []
    server.stop()


def test_the_active_bundle_of_a_large_catalogue_gets_an_index_beside_its_answers(
    served: tuple[Deployment, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, _ = served
    monkeypatch.setattr(active_model, "MOST_EXACT", 100)
    session = Session(deployment.settings)

    async def main() -> None:
        with ThreadPoolExecutor(1) as threads:
            active = ActiveModel([deployment.bundle], session, deployment.settings.keyspace, threads)
            await active.look()
            model = active.current()
            row = await model.row("user-4")
            assert row is not None
            wanted = TopQuery(row.query, 20)
            before = await model.top(wanted)
            deadline = time.monotonic() + SETTLED_WITHIN_S
            while model.scorer.index is None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            # The bundle has fewer items than an index proposes, so the answer stays the exact one.
            np.testing.assert_array_equal((await model.top(wanted)).item, before.item)

    asyncio.run(main())
    session.close()
