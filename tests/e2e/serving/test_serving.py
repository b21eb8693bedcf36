"""`thalweg serve` beside a real worker: what the API answers is what the contracts promise."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from encoder.metrics.hybrid.scores import WEIGHTS, HybridWeights
from export.runtime.bundle import Bundle
from export.runtime.queries import recent_items
from streams.local import LocalServices
from streams.store.store import open_store
from tests.support.bundles import hybrid_bundle, tiny_bundle
from tests.support.deployment import Deployment, event, record, shopping
from tests.tools.serving import Server

RELATIVE = 1e-6  # of the model's part of a score
FORGOTTEN_WITHIN_S = 30.0
ANSWERS_WITHIN_S = 4.5  # where Cassandra does not answer within 3 s, on a busy machine
SINGLE_WITHIN_S = 2.0  # while long requests are answered, on a busy machine
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return hybrid_bundle(tmp_path_factory.mktemp("bundle") / "hybrid", items=500)


@pytest.fixture(scope="module")
def served(
    services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Server]]:
    """A worker that has applied a thousand events, and a server beside the worker."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("served"))
    deployment.send(shopping(1_000, 40))
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    server = Server(deployment.settings, deployment.folder / "server.log")
    server.start()
    wait_until_ready(server)
    yield deployment, server
    server.stop()
    worker.stop()


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + 30
    while server.client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, server.client.get("/readyz").text
        time.sleep(0.1)


def test_a_representation_is_the_stored_row_and_its_tag_changes_with_the_row(
    served: tuple[Deployment, Server],
) -> None:
    deployment, server = served
    store = open_store(deployment.settings, deployment.bundle)
    stored = {user.user_id: user for user in store.users.scan()}
    store.close()
    for user_id in ("user-0", "user-7"):
        found = server.ask(f"/v1/users/{user_id}/representation")
        np.testing.assert_array_equal(np.float32(found["representation"]), stored[user_id].representation)
        assert (found["steps"], found["last_time_ms"]) == (stored[user_id].steps, stored[user_id].last_time_ms)
        assert found["last_item"] == stored[user_id].last_item
        assert found["bundle_id"] == deployment.bundle.bundle_id
        assert 0 <= found["age_ms"] < 120_000
    answer = server.client.get("/v1/users/user-0/representation")
    unchanged = server.client.get("/v1/users/user-0/representation", headers={"If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    several = server.send("/v1/representations", {"user_ids": ["user-7", "nobody", "user-0"]})
    assert [one["user_id"] for one in several["representations"]] == ["user-7", "user-0"]
    assert several["unknown"] == ["nobody"]


def test_many_users_at_once_and_long_sessions_hold_up_no_single_user(served: tuple[Deployment, Server]) -> None:
    _, server = served
    users = {"user_ids": [f"user-{number % 60}" for number in range(1_000)]}
    view = {"item_id": "item-3", "action": "view", "event_time_ms": 10**12}
    session = {"events": [view] * 1_000, "k": 1}
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(server.client.post, "/v1/representations", json=users) for _ in range(10)]
        asked += [pool.submit(server.client.post, "/v1/step", json=session) for _ in range(10)]
        time.sleep(0.2)
        began_s = time.monotonic()
        server.ask("/v1/users/user-5/recommendations", k=1)
        passed_s = time.monotonic() - began_s
        assert [one.result().status_code for one in asked] == [200] * 20
    assert passed_s < SINGLE_WITHIN_S


def test_an_unknown_user_is_a_problem_that_names_the_user(served: tuple[Deployment, Server]) -> None:
    _, server = served
    answer = server.client.get("/v1/users/no%2Fbody/representation")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (404, "unknown-user")
    assert "'no/body'" in problem["detail"]
    found = server.ask("/v1/users/nobody/recommendations", k=3)
    assert found["known"] is False
    assert len(found["items"]) == 3


def test_scores_are_what_a_reader_computes_by_the_contract(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    bundle = deployment.bundle
    for user_id in ("user-3", "user-11"):
        user = next(iter(open_users(deployment, user_id)))
        query = bundle.queries(user.representation[None], user.state[None])
        scores = bundle.scores(query)[0].astype(np.float64)
        found = server.ask(f"/v1/users/{user_id}/recommendations", k=50)
        index = [bundle.item_index[item["item_id"]] for item in found["items"]]
        assert_same_scores(found["items"], scores, index)
        best = hybrid_scores(bundle, scores, recent_items(query, bundle.manifest.recent_places)[0][0], "home")
        np.testing.assert_allclose([item["score"] for item in found["items"]], np.sort(best)[::-1][:50], rtol=RELATIVE)
        candidates = [f"item-{i}" for i in range(1, 401)]
        ranked = server.send("/v1/rank", {"user_id": user_id, "item_ids": [*candidates, "new", "item-1"]})
        assert ranked["unknown_items"] == ["new"]
        index = [bundle.item_index[item["item_id"]] for item in ranked["items"]]
        assert sorted(index) == list(range(1, 401))
        assert_same_scores(ranked["items"], scores, index)


def open_users(deployment: Deployment, user_id: str) -> Iterator[object]:
    store = open_store(deployment.settings, deployment.bundle)
    yield from [user for user in store.users.scan() if user.user_id == user_id]
    store.close()


def assert_same_scores(items: list[dict[str, float]], scores: np.ndarray, index: list[int]) -> None:
    model = np.array([item["dot"] + item["repeat"] for item in items])
    np.testing.assert_allclose(model, scores[np.array(index) - 1], rtol=RELATIVE, atol=RELATIVE)
    shown = [item["score"] for item in items]
    assert shown == sorted(shown, reverse=True)
    assert shown == [item["dot"] + item["repeat"] + item["co"] + item["content"] for item in items]


def hybrid_scores(bundle: Bundle, scores: np.ndarray, context: np.ndarray, scenario: str) -> np.ndarray:
    """Return the model's scores with what the context adds."""
    added = np.zeros(len(scores), np.float32)
    assert bundle.hybrid is not None
    items = [item for item in context.tolist() if item > 0]
    bundle.hybrid.context(items, HybridWeights(**WEIGHTS[scenario])).add(added)
    return scores + added


def test_a_basket_gets_what_goes_with_its_items_also_for_an_unknown_user(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    bundle, basket = deployment.bundle, ["item-40", "item-8"]
    user = next(iter(open_users(deployment, "user-3")))
    scores = bundle.scores(bundle.queries(user.representation[None], user.state[None]))[0].astype(np.float64)
    best = hybrid_scores(bundle, scores, np.array([40, 8]), "cart")
    best[[39, 7]] = -np.inf
    found = server.ask("/v1/users/user-3/recommendations", k=20, scenario="cart", items=basket)["items"]
    assert_same_scores(found, scores, [bundle.item_index[item["item_id"]] for item in found])
    np.testing.assert_allclose([item["score"] for item in found], np.sort(best)[::-1][:20], rtol=RELATIVE)
    found = server.ask("/v1/users/nobody/recommendations", k=20, scenario="cart", items=basket)
    events = [{"item_id": item, "action": "view", "event_time_ms": 10**12} for item in reversed(basket)]
    stepped = np.float32(server.send("/v1/step", {"events": events})["representation"])
    assert (found["known"], found["steps"]) == (False, 0)
    index = np.array([bundle.item_index[item["item_id"]] for item in found["items"]])
    dots = np.asarray(bundle.item_vectors)[index] @ stepped
    np.testing.assert_allclose([item["dot"] for item in found["items"]], dots, rtol=1e-5, atol=1e-6)
    problem = server.ask("/v1/users/user-3/recommendations", status=404, scenario="cart", items=["item-1", "zzz"])
    assert "'zzz'" in problem["detail"]


def test_items_are_left_out_on_request(served: tuple[Deployment, Server]) -> None:
    _, server = served
    first = [item["item_id"] for item in server.ask("/v1/users/user-5/recommendations", k=10)["items"]]
    rest = server.ask("/v1/users/user-5/recommendations", k=10, exclude=first[:4])["items"]
    assert [item["item_id"] for item in rest[:6]] == first[4:]
    fresh = server.ask("/v1/users/user-5/recommendations", k=500, exclude_recent=True)["items"]
    assert 480 <= len(fresh) < 500
    assert all(item["repeat"] == 0 for item in fresh)


def test_similar_items_are_the_nearest_by_cosine_and_an_unknown_item_is_named(
    served: tuple[Deployment, Server],
) -> None:
    deployment, server = served
    vectors = np.array(deployment.bundle.item_vectors, np.float64)[1:]
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = directions @ directions[6]
    cosine[6] = -2
    found = server.ask("/v1/items/item-7/similar", k=5)["items"]
    assert [item["item_id"] for item in found] == [f"item-{i + 1}" for i in np.argsort(-cosine)[:5]]
    problem = server.ask("/v1/items/no-item/similar", status=404)
    assert "'no-item'" in problem["detail"]


def test_a_step_gives_what_a_worker_would_store_and_stores_nothing(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    names = [("item-3", "view", 10**12), ("unheard", "view", 10**12 + 500), ("item-9", "cart", 10**12 + 90_000)]
    events = [{"item_id": item, "action": action, "event_time_ms": time_ms} for item, action, time_ms in names]
    found = server.send("/v1/step", {"events": events, "k": 5})
    deployment.send([record(event(f"s{i}", "stepped", *one)) for i, one in enumerate(names)])
    deployment.wait_until_committed()
    row = server.ask("/v1/users/stepped/representation")
    np.testing.assert_allclose(found["representation"], row["representation"], rtol=1e-5, atol=1e-6)
    assert (found["steps"], found["unknown_items"]) == (3, ["unheard"])
    wanted = server.ask("/v1/users/stepped/recommendations", k=5)["items"]
    assert [item["item_id"] for item in found["items"]] == [item["item_id"] for item in wanted]
    assert found["bundle_id"] == deployment.bundle.bundle_id


def test_bought_items_are_left_out_on_request_however_many_others_were_seen(
    served: tuple[Deployment, Server],
) -> None:
    deployment, server = served
    events = [("item-7", "purchase"), ("item-8", "purchase"), ("new-1", "purchase"), ("item-7", "purchase")]
    events += [(f"item-{i}", "view") for i in range(20, 31)]
    deployment.send([record(event(f"b{i}", "buyer", *one, 10**12 + i)) for i, one in enumerate(events)])
    deployment.wait_until_committed()
    row = server.ask("/v1/users/buyer/representation")
    assert row["recent_items"] == [f"item-{i}" for i in range(30, 20, -1)]
    assert row["bought_items"] == ["item-7", "item-8"]
    everything = [item["item_id"] for item in server.ask("/v1/users/buyer/recommendations", k=500)["items"]]
    rest = server.ask("/v1/users/buyer/recommendations", k=500, exclude_bought=True)["items"]
    assert [item["item_id"] for item in rest] == [item for item in everything if item not in ("item-7", "item-8")]


def test_an_event_is_seen_by_the_next_read_and_an_erased_user_is_unknown(served: tuple[Deployment, Server]) -> None:
    deployment, server = served
    before = server.ask("/v1/users/user-20/representation")["steps"]
    deployment.send([record(event("later", "user-20", "item-2", "purchase", time_ms=11 * 10**11))])
    deployment.wait_until_committed()
    row = server.ask("/v1/users/user-20/representation")
    assert (row["steps"], row["bought_items"][0]) == (before + 1, "item-2")
    sent = server.client.delete("/v1/users/user-20")
    assert sent.status_code == 202, sent.text
    deadline = time.monotonic() + FORGOTTEN_WITHIN_S
    while not (status := server.ask(sent.headers["location"]))["is_forgotten"]:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    server.ask("/v1/users/user-20/representation", status=404)
    assert server.ask("/v1/users/user-20/recommendations", exclude_bought=True)["known"] is False
    deployment.send([record(event("again", "user-20", "item-3"))])
    deployment.wait_until_committed()
    assert server.ask("/v1/users/user-20/representation")["bought_items"] == []


def test_invalid_requests_are_problems_that_name_the_place_and_the_value(served: tuple[Deployment, Server]) -> None:
    _, server = served
    assert "query.k" in server.ask("/v1/users/u/recommendations", status=422, k=0)["detail"]
    assert "got 'x'" in server.ask("/v1/users/u/recommendations", status=422, k="x")["detail"]
    problem = server.send("/v1/step", {"events": [{"item_id": "i", "action": "view"}]}, status=422)
    assert "body.events.0.event_time_ms" in problem["detail"]
    assert server.ask("/v1/nothing", status=404)["type"] == "no-such-path"
    assert server.client.put("/v1/rank").status_code == 405
    assert server.client.post("/v1/rank", content=b" " * 2_000_000).status_code == 413


def test_while_cassandra_is_away_answers_say_so_soon_and_afterwards_they_are_right_again(
    served: tuple[Deployment, Server], services: LocalServices
) -> None:
    _, server = served
    before = server.ask("/v1/users/user-9/recommendations")
    services.cassandra.pause()
    try:
        began_s = time.monotonic()
        answers = [server.client.get("/v1/users/user-9/recommendations") for _ in range(2)]
        passed_s = time.monotonic() - began_s
    finally:
        services.cassandra.resume()
    for answer in answers:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["type"] == "unavailable"
    assert passed_s < 2 * ANSWERS_WITHIN_S
    deadline = time.monotonic() + 30
    while server.client.get("/v1/users/user-9/recommendations").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert server.ask("/v1/users/user-9/recommendations") == before


def test_a_killed_server_starts_again_on_its_port_with_the_same_answers(served: tuple[Deployment, Server]) -> None:
    _, server = served
    before = server.ask("/v1/users/user-9/recommendations")
    server.kill()
    server.start()
    wait_until_ready(server)
    assert server.ask("/v1/users/user-9/recommendations") == before


def test_the_document_holds_for_whatever_schemathesis_sends(served: tuple[Deployment, Server]) -> None:
    """All checks: no answer 500, no answer that the document does not name, and none without a token."""
    deployment, _ = served
    tokens = deployment.folder / "tokens.toml"
    tokens.write_text(f'[fuzz]\ntoken = "{TOKEN}"\nscopes = ["read", "admin"]\n')
    folder = deployment.folder / "fuzzed"
    folder.mkdir()
    server = Server(deployment.settings, folder / "server.log", ["--tokens", str(tokens), "--lookalikes"], TOKEN)
    server.start()
    wait_until_ready(server)
    address = f"http://{server.address}/openapi.json"
    command = [Path(sys.executable).with_name("st"), "run", address, "--header", f"Authorization: Bearer {TOKEN}"]
    limits = ["--max-examples", "25", "--generation-deterministic", "--checks", "all", "--no-color"]
    done = subprocess.run([*command, *limits], capture_output=True, text=True, cwd=folder)
    server.stop()
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "ERROR" not in server.log.read_text()


def test_an_answer_follows_the_active_bundle_within_a_second_and_a_bundle_that_was_not_given_is_said(
    services: LocalServices, bundle: Bundle, deployment: Deployment
) -> None:
    other = tiny_bundle(deployment.folder / "other", seed=1, purchases=[])
    third = tiny_bundle(deployment.folder / "third", seed=2)
    deployment.send(shopping(50, 5))
    for number, one in enumerate((bundle, other)):
        worker = deployment.with_bundle(one).worker(f"worker-{number}")
        worker.start()
        deployment.with_bundle(one).wait_until_committed()
        worker.stop()
    server = Server(
        deployment.settings,
        deployment.folder / "server.log",
        ["--bundle", str(bundle.path), "--bundle", str(other.path)],
    )
    server.start()
    wait_until_ready(server)
    assert server.ask("/v1/users/user-1/representation")["bundle_id"] == bundle.bundle_id
    store = open_store(deployment.settings, bundle)
    activate = f"UPDATE {deployment.settings.keyspace}.active_bundle SET bundle_id = '%s' WHERE name = 'active'"
    store.session.execute("switch", activate % other.bundle_id)
    time.sleep(1)
    answer = server.ask("/v1/users/user-1/recommendations")
    assert (answer["bundle_id"], answer["known"]) == (other.bundle_id, True)
    assert server.ask("/v1/users/user-1/representation")["bought_items"] == []
    problem = server.ask("/v1/users/user-1/recommendations", status=409, exclude_bought=True)
    assert (problem["type"], other.bundle_id in problem["detail"]) == ("no-purchases", True)
    store.session.execute("switch", activate % third.bundle_id)
    time.sleep(1)
    problem = server.ask("/v1/users/user-1/recommendations", status=503)
    assert problem["type"] == "other-bundle"
    assert third.bundle_id in problem["detail"]
    store.close()
    server.stop()
