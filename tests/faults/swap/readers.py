"""Clients of `thalweg serve` who ask throughout, and the judgement of every answer after the end."""

import http.client
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.events import BehaviorEvent
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.engine.arena import Arena
from streams.engine.planning.candidates import Part
from streams.engine.processor import Processor

PAUSE_S = 0.02
TOLERANCE = 1e-5  # of `thalweg verify`
TIMEOUT_S = 10.0
KINDS = ("representation", "recommendations")

Floats = NDArray[np.float32]


class Answer(NamedTuple):
    """What the server said of a user. items: empty for a representation. values: the vector, or scores of the items."""

    user_id: str
    bundle_id: str
    steps: int
    items: tuple[str, ...]
    values: Floats


class Reader(threading.Thread):
    """Asks for watched users in turn. `last_of` tells when the last answer of a bundle was asked for."""

    def __init__(self, address: str, users: Sequence[str], seed: int) -> None:
        super().__init__(daemon=True)
        self.answers: list[Answer] = []
        self.failed: list[str] = []
        self.last_of: dict[str, float] = {}
        self._address, self._users, self._draw = address, users, random.Random(seed)
        self._ends = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        while not self._ends.wait(PAUSE_S):
            user_id, kind = self._draw.choice(self._users), self._draw.choice(KINDS)
            began_s = time.monotonic()
            try:
                connection.request("GET", f"/v1/users/{user_id}/{kind}")
                response = connection.getresponse()
                body = response.read()
            except (http.client.HTTPException, OSError) as error:
                self.failed.append(f"{user_id} {kind}: {error!r}")
                connection.close()
                continue
            if response.status != 200:
                self.failed.append(f"{user_id} {kind}: {response.status} {body[:200]!r}")
                continue
            answer = _answer(user_id, json.loads(body))
            self.answers.append(answer)
            self.last_of[answer.bundle_id] = began_s

    def end(self) -> None:
        self._ends.set()
        self.join()


def _answer(user_id: str, body: dict[str, Any]) -> Answer:
    items = body.get("items", [])
    values = [item["dot"] + item["repeat"] for item in items] if items else body["representation"]
    return Answer(
        user_id,
        body["bundle_id"],
        body["steps"],
        tuple(item["item_id"] for item in items),
        np.array(values, np.float32),
    )


class Truth:
    """What a bundle must answer for the watched users after each number of steps."""

    def __init__(self, bundle: Bundle, events_of: Mapping[str, Sequence[BehaviorEvent]]) -> None:
        self._bundle = bundle
        self._states = {user_id: _states(bundle, events) for user_id, events in events_of.items()}

    def agrees(self, answer: Answer) -> bool:
        """Whether the answer is that of this bundle, whichever bundle the answer names."""
        representation, state = self._states[answer.user_id]
        if answer.steps >= len(representation):
            return False
        vector = representation[answer.steps]
        if not answer.items:
            return _are_close(answer.values, vector)
        index = [self._bundle.item_index.get(item, 0) for item in answer.items]
        if not all(index):
            return False
        queries = self._bundle.queries(vector[None], state[answer.steps][None])
        scores = self._bundle.scores(queries)[0]
        return _are_close(answer.values, scores[np.array(index) - 1])


def _are_close(found: Floats, expected: Floats) -> bool:
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return found.shape == expected.shape and float(np.abs(found - expected).max(initial=0.0)) <= TOLERANCE * scale


class _Record(NamedTuple):
    offset: int
    timestamp: int


def _states(bundle: Bundle, events: Sequence[BehaviorEvent]) -> tuple[Floats, Floats]:
    """(n + 1, D) representation and (n + 1, S) state float32 of a user before and after each of n events."""
    arena = Arena(1, bundle.manifest.state_width, bundle.manifest.representation_width)
    processor = Processor(bundle, Stepper(bundle), arena)
    representations, states = [bundle.initial_representation], [bundle.initial_state]
    for number, event in enumerate(events):
        part = Part(0, [_Record(number, event.event_time_ms)], [event])
        processor.process([part], number, evaluate=False)
        slot = arena.slot(event.user_id)
        representations.append(arena.representation[slot].copy())
        states.append(arena.state[slot].copy())
    return np.stack(representations), np.stack(states)


def judge(answers: Sequence[Answer], truths: Mapping[str, Truth]) -> tuple[list[str], list[str]]:
    """The wrong and the mixed answers. A mixed answer names one bundle and has the content of another one."""
    wrong, mixed = [], []
    for answer in answers:
        if truths[answer.bundle_id].agrees(answer):
            continue
        others = [name for name, truth in truths.items() if name != answer.bundle_id and truth.agrees(answer)]
        text = f"{answer.user_id} after {answer.steps} steps by {answer.bundle_id}"
        (mixed if others else wrong).append(text)
    return wrong, mixed
