"""The events by which each scenario is judged. This module is pure."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.hybrid.questions import Cases, cart_cases
from export.evaluation.scored_events import ScoredEvents

DAY_MS = 86_400_000
NEVER_MS = np.iinfo(np.int64).max


def make_cases(
    scored: ScoredEvents, actions: list[str], first_ms: NDArray[np.int64], new_days: float
) -> dict[str, Cases]:
    """Scenario -> its questions.

    home: every scored event of a user with history. to_the_user: those among them with an item that the user did not
    have before. cart: see
    `cart_cases`. new: events with an item that the user did not have before and that first
    appeared at most `new_days` days before the first scored event; only such items are recommended.

    actions: names by index, from 1. first_ms: as of `first_times_ms`.
    """
    sequences, position = scored.sequences, scored.target[scored.steps > 0]
    begin_ms = scored.event_time_ms[scored.target].min(initial=NEVER_MS)
    fresh = (first_ms >= begin_ms - new_days * DAY_MS) & (first_ms < NEVER_MS)
    unseen = position[sequences.is_new_item[position]]
    return {
        "home": Cases(position, False),
        "to_the_user": Cases(unseen, True),
        "cart": cart_cases(sequences, scored.target, actions),
        "new": Cases(unseen[fresh[sequences.item[unseen]]], True, candidates=fresh),
    }


def first_times_ms(parts: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]], items: int) -> NDArray[np.int64]:
    """(N + 1,) time of each item's first event, NEVER_MS without an event and for the unknown item.

    parts: item indices and times of events. items: N.
    """
    first_ms = np.full(items + 1, NEVER_MS)
    for item, time_ms in parts:
        np.minimum.at(first_ms, item, time_ms)
    first_ms[0] = NEVER_MS
    return first_ms
