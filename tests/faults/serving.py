"""`python -m tests.faults.serving`: faults of `thalweg serve` under load, and what every answer was.

Two bundles have rows of the same users. Clients ask without a pause while Cassandra is away, while the active bundle
changes, and while the server is killed and started again. Each answer is compared with what docs/contracts.md says of
the row of the bundle that the answer names. Prints one JSON object, and ends with 1 where an answer was wrong.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.local import LocalServices, local_services
from streams.store.store import open_store
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, shopping
from tests.tools.serving import Server

USERS, EVENTS, CLIENTS = 40, 1_000, 4
RELATIVE = 1e-6  # of the model's part of a score
SWITCH_EVERY_S, SWITCHES, KILLS = 0.7, 30, 5
SEEN_WITHIN_S = 1.5  # between a change of the active bundle and the last answer of the bundle before
AWAY_TYPES = {"unavailable", "other-bundle"}


class Truth:
    """What a bundle stores of each user: the representation, and the score of every item by the contract."""

    def __init__(self, deployment: Deployment) -> None:
        bundle = deployment.bundle
        store = open_store(deployment.settings, bundle)
        users = list(store.users.scan())
        store.close()
        queries = bundle.queries(np.stack([u.representation for u in users]), np.stack([u.state for u in users]))
        self.representation = {user.user_id: user.representation for user in users}
        self.scores: dict[str, NDArray[np.float64]] = {
            user.user_id: row.astype(np.float64) for user, row in zip(users, bundle.scores(queries), strict=True)
        }
        self.item_index = bundle.item_index


class Client(threading.Thread):
    """Asks again and again, and judges every answer. `counts` holds the judgements, `wrong` the wrong answers."""

    def __init__(self, address: str, truths: dict[str, Truth], seed: int) -> None:
        super().__init__(daemon=True)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.last_of: dict[str, float] = {}  # bundle id -> when the last request began that this bundle answered
        self._address, self._truths, self._draw = address, truths, random.Random(seed)
        self._ends = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._address, timeout=10) as http:
            while not self._ends.is_set():
                self._ask(http)

    def end(self) -> None:
        self._ends.set()
        self.join()

    def _ask(self, http: httpx.Client) -> None:
        user = f"user-{self._draw.randrange(USERS)}"
        kind = self._draw.choice(["representation", "recommendations"])
        began_s = time.monotonic()
        try:
            answer = http.get(f"/v1/users/{user}/{kind}")
        except httpx.TransportError:  # The server is dead at this moment.
            self.counts["no answer"] += 1
            time.sleep(0.05)
            return
        self.counts[str(answer.status_code)] += 1
        problem = self._problem(user, kind, answer)
        if problem:
            self.wrong.append(f"{user} {kind}: {problem}")
        elif answer.status_code == 200:
            self.last_of[answer.json()["bundle_id"]] = began_s

    def _problem(self, user: str, kind: str, answer: httpx.Response) -> str:
        """What is wrong with an answer, empty where nothing is."""
        if answer.status_code == 503:
            is_right = answer.json()["type"] in AWAY_TYPES and int(answer.headers.get("retry-after", "0")) >= 1
            return "" if is_right else f"a 503 without a known type or Retry-After: {answer.text}"
        if answer.status_code != 200:
            return f"status {answer.status_code}: {answer.text}"
        body = answer.json()
        truth = self._truths[body["bundle_id"]]
        if kind == "representation":
            is_same = np.array_equal(np.float32(body["representation"]), truth.representation[user])
            return "" if is_same else "the vector is not that of the row"
        shown = np.array([item["dot"] + item["repeat"] for item in body["items"]])
        index = np.array([truth.item_index[item["item_id"]] for item in body["items"]])
        expected = truth.scores[user][index - 1]
        is_same = np.allclose(shown, expected, rtol=RELATIVE, atol=RELATIVE)
        return "" if is_same and body["known"] else f"scores {shown[:3]} instead of {expected[:3]}"


class Trial:
    """Two bundles with rows, a server that was given both, and clients."""

    def __init__(self, services: LocalServices, folder: Path) -> None:
        bundles = [tiny_bundle(folder / f"bundle-{seed}", seed=seed) for seed in (0, 1)]
        deployment = Deployment(services, bundles[0], folder)
        deployment.send(shopping(EVENTS, USERS))
        self.services = services
        self.deployments = [deployment, deployment.with_bundle(bundles[1])]
        for number, one in enumerate(self.deployments):
            worker = one.worker(f"worker-{number}")
            worker.start()
            one.wait_until_committed()
            worker.stop()
        given = [argument for bundle in bundles for argument in ("--bundle", str(bundle.path))]
        self.server = Server(deployment.settings, folder / "server.log", given)
        truths = {one.bundle.bundle_id: Truth(one) for one in self.deployments}
        self.clients = [Client(f"http://{self.server.address}", truths, seed) for seed in range(CLIENTS)]
        self._store = open_store(deployment.settings, bundles[0])
        self.server.start()

    def activate(self, bundle: Bundle) -> None:
        table = f"{self.deployments[0].settings.keyspace}.active_bundle"
        text = f"UPDATE {table} SET bundle_id = '{bundle.bundle_id}' WHERE name = 'active'"
        self._store.session.execute("switch", text)

    def wait_until_ready(self) -> float:
        """Wait until the server answers a question about a user, and return the seconds that this took."""
        return seconds_until(lambda: self._status() == 200, 60)

    def _status(self) -> int:
        try:
            return self.server.client.get("/v1/users/user-1/representation").status_code
        except httpx.TransportError:
            return 0

    def end(self) -> None:
        for client in self.clients:
            client.end()
        self.server.stop()
        self._store.close()


def seconds_until(holds: Callable[[], bool], limit_s: float) -> float:
    """Raises TimeoutError."""
    began_s = time.monotonic()
    while not holds():
        if time.monotonic() - began_s > limit_s:
            raise TimeoutError(f"not within {limit_s:g} s")
        time.sleep(0.05)
    return time.monotonic() - began_s


def play(trial: Trial, away_s: float) -> dict[str, Any]:
    """All faults after each other, and what came back in total."""
    trial.wait_until_ready()
    for client in trial.clients:
        client.start()
    time.sleep(2)
    trial.services.cassandra.pause()
    time.sleep(away_s)
    trial.services.cassandra.resume()
    back_s = trial.wait_until_ready()
    late_s = 0.0
    bundles = [one.bundle for one in trial.deployments]
    for number in range(SWITCHES):
        trial.activate(bundles[(number + 1) % 2])
        switched_s = time.monotonic()
        time.sleep(SWITCH_EVERY_S + SEEN_WITHIN_S * (number % 5 == 4))
        if number % 5 == 4:  # Every fifth time, all answers must have come to the new bundle.
            former = bundles[number % 2].bundle_id
            late_s = max([late_s, *(client.last_of.get(former, 0) - switched_s for client in trial.clients)])
    start_s = []
    for _ in range(KILLS):
        trial.server.kill()
        trial.server.start()
        start_s.append(trial.wait_until_ready())
        time.sleep(1)
    trial.end()
    counts = sum((client.counts for client in trial.clients), Counter[str]())
    wrong = [text for client in trial.clients for text in client.wrong]
    return {
        "answers": dict(counts),
        "wrong": len(wrong),
        "examples": wrong[:5],
        "cassandra_away_s": away_s,
        "answered_again_after_s": round(back_s, 2),
        "former_bundle_for_s": round(late_s, 2),
        "ready_after_kill_s": round(max(start_s), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.serving", description=__doc__)
    parser.add_argument("--away-s", type=float, default=60.0, help="time for which Cassandra is away (default: 60)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thalweg-serve-") as folder, local_services() as services:
        found = play(Trial(services, Path(folder)), args.away_s)
    print(json.dumps(found))
    return 1 if found["wrong"] or found["former_bundle_for_s"] > SEEN_WITHIN_S else 0


if __name__ == "__main__":
    sys.exit(main())
