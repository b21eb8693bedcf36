"""Users whom a bundle itself expects, for measurements that have no log.

Each user has 1 to MOST_EVENTS events. The model tells how probable each item is to be next, and the next item is drawn
by these probabilities, the softmax of the scores of all items. So the items are as popular, and follow each other as
often, as the model has learned.
"""

import numpy as np
from numpy.typing import NDArray

from encoder.data.features import PRICE, Features
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper

MOST_EVENTS = 8
LEAST_GAP_MS, MOST_GAP_MS = 1e3, 86_400e3  # a second to a day, all orders of magnitude alike
TILE = 16  # users whose scores of all items are in memory together


def expected_queries(bundle: Bundle, stepper: Stepper, users: int, seed: int = 0) -> NDArray[np.float32]:
    """(users, Q) queries after the last event of each user, the same ones for the same seed.

    Actions are drawn evenly. The events have no category, brand, price and time, which an event may lack.
    """
    rng = np.random.default_rng(seed)
    events = rng.integers(1, MOST_EVENTS + 1, users)
    state = np.repeat(bundle.initial_state[None], users, axis=0)
    query = np.repeat(bundle.initial_query[None], users, axis=0)
    for step in range(MOST_EVENTS):
        user = np.flatnonzero(events > step)
        gap_ms = (
            LEAST_GAP_MS * (MOST_GAP_MS / LEAST_GAP_MS) ** rng.random(len(user)) if step else np.full(len(user), -1)
        )
        action = rng.integers(1, bundle.manifest.actions + 1, len(user))
        inputs = StepInputs(
            _next_items(bundle, query[user], rng), action, gap_ms.astype(np.int64), _no_features(bundle, len(user))
        )
        state[user], representation = stepper.step(inputs, state[user])
        query[user] = bundle.queries(representation, state[user])
    return query


def _next_items(bundle: Bundle, query: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n, Q) queries -> (n,) items, each drawn by the softmax of the query's scores."""
    item = np.empty(len(query), np.int64)
    for start in range(0, len(query), TILE):
        scores = bundle.scores(query[start : start + TILE])
        weight = np.exp(scores - scores.max(axis=1, keepdims=True))
        for place, row in enumerate(weight.cumsum(axis=1, dtype=np.float64), start):
            item[place] = 1 + np.searchsorted(row, rng.random() * row[-1], side="right")
    return np.minimum(item, bundle.manifest.items)


def _no_features(bundle: Bundle, events: int) -> Features:
    none: Features = {name: np.zeros(events, np.int64) for name in bundle.features}
    return none | ({PRICE: np.full(events, np.nan, np.float32)} if PRICE in none else {})
