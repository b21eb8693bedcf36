"""The events by which each scenario is judged. This module is pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.metrics.followers.companions import visits_of
from export.evaluation.scored_events import ScoredEvents

# Words in the names of actions that put an item into a basket or order an item.
BASKET_WORDS = ("cart", "basket", "purchase", "buy", "order", "transaction")
DAY_MS = 86_400_000


class Cases(NamedTuple):
    """m questions: which item comes next, asked just before an event of the user."""

    position: NDArray[np.int64]  # (m,) of the events in the sequences, ascending
    is_own_left_out: bool  # whether the user's other items of before are not recommended
    baskets: list[list[int]] | None = None  # of each question, the newest item first; None: the user's recent items
    candidates: NDArray[np.bool_] | None = None  # (N + 1,) which items are recommended; None: all


def make_cases(scored: ScoredEvents, actions: list[str], items: int, new_days: float) -> dict[str, Cases]:
    """Scenario -> its questions.

    home: every scored event of a user with history. to_the_user: those among them with an item that the user did not
    have before. cart: see `cart_cases`. new: events with an item that the user did not have before and that first
    appeared at most `new_days` days before the first scored event; only such items are recommended.

    actions: names by index, from 1. items: N.
    """
    sequences, position = scored.sequences, scored.target[scored.steps > 0]
    fresh = fresh_items(scored, items, new_days)
    unseen = position[sequences.is_new_item[position]]
    return {
        "home": Cases(position, False),
        "to_the_user": Cases(unseen, True),
        "cart": cart_cases(scored, actions),
        "new": Cases(unseen[fresh[sequences.item[unseen]]], True, candidates=fresh),
    }


def fresh_items(scored: ScoredEvents, items: int, new_days: float) -> NDArray[np.bool_]:
    """(N + 1,) which items have their first event at most `new_days` days before the first scored event, or later."""
    first_ms = np.full(items + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_ms, scored.sequences.item, scored.event_time_ms)
    begin_ms = scored.event_time_ms[scored.target].min(initial=np.iinfo(np.int64).max)
    fresh: NDArray[np.bool_] = (first_ms >= begin_ms - new_days * DAY_MS) & (first_ms < np.iinfo(np.int64).max)
    fresh[0] = False
    return fresh


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
