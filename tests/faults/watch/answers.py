"""A reader of `thalweg serve` who asks for users throughout the faults of a cluster, and what went wrong."""

import http.client
import json
import random
import threading
import time
from pathlib import Path

from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from tests.tools.serving import Server

PAUSE_S = 0.05
ANSWER_LIMIT_S = 10.0
BEGINS_WITHIN_S = 60.0


class Answers(threading.Thread):
    """Runs a server and asks it for the representation of one user after the other, until it is told to end.

    A request fails where the answer is no representation of a user who has had one before, or an older one.
    """

    def __init__(self, settings: Settings, bundle: Bundle, log: Path, users: int, draw: random.Random) -> None:
        super().__init__(name="answers", daemon=True)
        self.count = 0
        self.slowest_s = 0.0
        self.failed: list[str] = []
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
            self._ask(connection)
        self.count, self.slowest_s = 0, 0.0
        self.failed.clear()
        self.start()

    def run(self) -> None:
        connection = self._connection()
        while not self._ends.wait(PAUSE_S):
            began = time.monotonic()
            problem = self._ask(connection)
            took_s = time.monotonic() - began
            self.count += 1
            self.slowest_s = max(self.slowest_s, took_s)
            if problem:
                self.failed.append(f"{began:.1f} after {took_s:.1f} s: {problem}")

    @property
    def has_ended(self) -> bool:
        return self._ends.is_set()

    def end(self) -> None:
        """Stop asking, and stop the server."""
        if self.ident is not None and not self.is_alive() and not self._ends.is_set():
            self.failed.append("the end: the reader itself had failed before")
        self._ends.set()
        if self.is_alive():
            self.join()
        self._server.stop()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._server.address, timeout=ANSWER_LIMIT_S)

    def _ask(self, connection: http.client.HTTPConnection) -> str:
        """Ask for one user. Return what is wrong with the answer, empty where nothing is."""
        user_id = f"user-{self._draw.randrange(self._users)}"
        try:
            connection.request("GET", f"/v1/users/{user_id}/representation")
            response = connection.getresponse()
            body = response.read()
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            return f"{user_id}: {error!r}"
        known = self._steps.get(user_id)
        if response.status == 404 and known is None:
            return ""
        if response.status != 200:
            return f"{user_id}: {response.status} {body[:200]!r}"
        steps = self._steps[user_id] = int(json.loads(body)["steps"])
        return f"{user_id}: {steps} steps, after an answer of {known}" if steps < (known or 0) else ""
