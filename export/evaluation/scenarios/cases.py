"""The events by which each scenario is judged. This module is pure."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.followers.companions import visits_of
from export.evaluation.scored_events import ScoredEvents

# Words in the names of actions that put an item into a basket or order an item.
BASKET_WORDS = ("cart", "basket", "purchase", "buy", "order", "transaction")
DAY_MS = 86_400_000
NEVER_MS = np.iinfo(np.int64).max


class Cases(NamedTuple):
    """m questions: which item comes next, asked just before an event of the user."""

    position: NDArray[np.int64]  # (m,) of the events in the sequences, ascending
    is_own_left_out: bool  # whether the user's other items of before are not recommended
    baskets: list[list[int]] | None = None  # of each question, the newest item first; None: the user's recent items
    candidates: NDArray[np.bool_] | None = None  # (N + 1,) which items are recommended; None: all


def make_cases(
    scored: ScoredEvents, actions: list[str], first_ms: NDArray[np.int64], new_days: float
) -> dict[str, Cases]:
    """Scenario -> its questions.

    home: every scored event of a user with history. to_the_user: those among them with an item that the user did not
    have before. cart: see `cart_cases`. new: events with an item that the user did not have before and that first
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
        "cart": cart_cases(scored, actions),
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


def cart_cases(scored: ScoredEvents, actions: list[str]) -> Cases:
    """Items that came into the basket of a visit and that the user first saw in this visit.

    The question is asked just before the user first saw the item. The basket holds the visit's items of before. Events
    whose action has a word of BASKET_WORDS fill the basket. In a log without such actions, all events do.
    """
    sequences, visit = scored.sequences, visits_of(scored.sequences)
    words = np.array([False, *(any(word in name.lower() for word in BASKET_WORDS) for name in actions)])
    fills = (words[sequences.action] if words.any() else np.ones(len(visit), bool)) & (sequences.item > 0)
    first_seen = _first_positions(scored)
    begin = np.searchsorted(visit, visit)  # (n,) position of the first event of each event's visit
    found: dict[int, list[int]] = {}  # position of the question -> basket
    for place in scored.target[fills[scored.target]].tolist():
        asked = int(first_seen[place])
        if asked < begin[place] or asked in found:
            continue
        before = np.arange(asked - 1, begin[place] - 1, -1)
        basket = list(dict.fromkeys(sequences.item[before[fills[before]]].tolist()))
        if basket:
            found[asked] = basket
    position = np.array(sorted(found), np.int64)
    return Cases(position, True, [found[place] for place in position.tolist()])


def _first_positions(scored: ScoredEvents) -> NDArray[np.int64]:
    """(n,) position of the user's first event with the item of each event."""
    item, user = scored.sequences.item.astype(np.int64), scored.event_user
    _, first, code = np.unique(user * (item.max(initial=0) + 1) + item, return_index=True, return_inverse=True)
    positions: NDArray[np.int64] = first[code]
    return positions
