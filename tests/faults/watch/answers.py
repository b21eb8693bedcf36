"""A reader of `thalweg serve` who asks for users throughout the faults of a cluster, and what went wrong."""

import http.client
import json
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from tests.tools.serving import Server

PAUSE_S = 0.05
ANSWER_LIMIT_S = 10.0
BEGINS_WITHIN_S = 60.0
KEPT = 20_000  # answers whose vectors are compared at the end; the last ones of a longer run
ASKED_AT_THE_END, THREADS = 2_000, 4


class Answer(NamedTuple):
    """What the server said of a user."""

    user_id: str
    steps: int
    representation: NDArray[np.float32]  # (D,)


class Answers(threading.Thread):
    """Runs a server and asks it for the representation of one user after the other, until it is told to end.

    A request fails where the answer is no representation of a user who has had one before, or an older one, or one of
    another user, bundle or width.
    """

    def __init__(self, settings: Settings, bundle: Bundle, log: Path, users: int, draw: random.Random) -> None:
        super().__init__(name="answers", daemon=True)
        self.count = 0
        self.has_stopped = False
        self.slowest_s = 0.0
        self.failed: list[str] = []
        self.kept: deque[Answer] = deque(maxlen=KEPT)
        self._bundle_id, self._width = bundle.bundle_id, bundle.manifest.representation_width
        self._server = Server(settings, log, ["--bundle", str(bundle.path)])
        self._users, self._draw = users, draw
        self._steps: dict[str, int] = {}  # of the last answer for a user
        self._ends = threading.Event()

    def begin(self) -> None:
        """Start the server and wait until a user has a representation. Raises TimeoutError."""
        self._server.start()
        deadline = time.monotonic() + BEGINS_WITHIN_S
        connection = self._connection()
        while not self._steps:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server has shown no user within {BEGINS_WITHIN_S:.0f} s")
            self._ask(connection, self._any_user())
        self.count, self.slowest_s = 0, 0.0
        self.failed.clear()
        self.start()

    def run(self) -> None:
        connection = self._connection()
        while not self._ends.wait(PAUSE_S):
            began = time.monotonic()
            problem = self._ask(connection, self._any_user())
            took_s = time.monotonic() - began
            self.count += 1
            self.slowest_s = max(self.slowest_s, took_s)
            if problem:
                self.failed.append(f"{began:.1f} after {took_s:.1f} s: {problem}")

    def end(self) -> None:
        """Stop asking."""
        if self.ident is not None and not self.is_alive() and not self._ends.is_set():
            self.failed.append("the end: the reader itself had failed before")
        self._ends.set()
        if self.is_alive():
            self.join()

    def ask_each(self, steps: Mapping[str, int]) -> None:
        """Ask for every user, or for ASKED_AT_THE_END of them, after `end`. `steps`: what each user must have."""
        users = sorted(steps)
        users = self._draw.sample(users, min(len(users), ASKED_AT_THE_END))

        def ask_some(first: int) -> None:
            connection = self._connection()
            for user_id in users[first::THREADS]:
                problem = self._ask(connection, user_id)
                if not problem and self._steps.get(user_id) != steps[user_id]:
                    problem = f"{user_id}: {self._steps.get(user_id)} steps, and {steps[user_id]} events were sent"
                if problem:
                    self.failed.append(f"the end: {problem}")
            connection.close()

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(ask_some, range(THREADS)))

    def stop(self) -> None:
        """Stop the server."""
        self.has_stopped = True
        self._server.stop()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._server.address, timeout=ANSWER_LIMIT_S)

    def _any_user(self) -> str:
        return f"user-{self._draw.randrange(self._users)}"

    def _ask(self, connection: http.client.HTTPConnection, user_id: str) -> str:
        """Ask for one user. Return what is wrong with the answer, empty where nothing is."""
        try:
            connection.request("GET", f"/v1/users/{user_id}/representation")
            response = connection.getresponse()
            body = response.read()
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            return f"{user_id}: {error!r}"
        if response.status == 404 and user_id not in self._steps:
            return ""
        if response.status != 200:
            return f"{user_id}: {response.status} {body[:200]!r}"
        return self._judge(user_id, json.loads(body))

    def _judge(self, user_id: str, body: dict[str, Any]) -> str:
        said = body["user_id"], body["bundle_id"], len(body["representation"])
        if said != (user_id, self._bundle_id, self._width):
            return f"{user_id}: user, bundle and width {said}"
        known, steps = self._steps.get(user_id, 0), int(body["steps"])
        self._steps[user_id] = steps
        self.kept.append(Answer(user_id, steps, np.array(body["representation"], np.float32)))
        return f"{user_id}: {steps} steps, after an answer of {known}" if steps < known else ""
