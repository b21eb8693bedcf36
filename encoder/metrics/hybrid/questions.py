"""The questions by which recommendations are judged: which item comes next? This module is pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from encoder.metrics.followers.companions import visits_of

# Words in the names of actions that put an item into a basket or order an item.
BASKET_WORDS = ("cart", "basket", "purchase", "buy", "order", "transaction")


class Cases(NamedTuple):
    """m questions: which item comes next, asked just before an event of the user."""

    position: NDArray[np.int64]  # (m,) of the events in the sequences, ascending
    is_own_left_out: bool  # whether the user's other items of before are not recommended
    baskets: list[list[int]] | None = None  # of each question, the newest item first; None: the user's recent items
    candidates: NDArray[np.bool_] | None = None  # (N + 1,) which items are recommended; None: all


def basket_actions(actions: list[str]) -> NDArray[np.bool_]:
    """(A + 1,) by index, whether an action puts an item into a basket or orders an item. actions: from index 1 on."""
    return np.array([False, *(any(word in name.lower() for word in BASKET_WORDS) for name in actions)])


def cart_cases(sequences: Sequences, target: NDArray[np.int64], actions: list[str]) -> Cases:
    """Items that came into the basket of a visit and that the user first saw in this visit.

    The question is asked just before the user first saw the item. The basket holds the visit's items of before. Events
    whose action has a word of BASKET_WORDS fill the basket. In a log without such actions, all events do.

    target: (m,) positions of the events that may put an item into the basket.
    """
    visit, words = visits_of(sequences), basket_actions(actions)
    fills = (words[sequences.action] if words.any() else np.ones(len(visit), bool)) & (sequences.item > 0)
    first_seen = _first_positions(sequences)
    begin = np.searchsorted(visit, visit)  # (n,) position of the first event of each event's visit
    found: dict[int, list[int]] = {}  # position of the question -> basket
    for place in target[fills[target]].tolist():
        asked = int(first_seen[place])
        if asked < begin[place] or asked in found:
            continue
        before = np.arange(asked - 1, begin[place] - 1, -1)
        basket = list(dict.fromkeys(sequences.item[before[fills[before]]].tolist()))
        if basket:
            found[asked] = basket
    position = np.array(sorted(found), np.int64)
    return Cases(position, True, [found[place] for place in position.tolist()])


def _first_positions(sequences: Sequences) -> NDArray[np.int64]:
    """(n,) position of the user's first event with the item of each event."""
    item, user = sequences.item.astype(np.int64), np.repeat(np.arange(len(sequences)), sequences.lengths)
    _, first, code = np.unique(user * (item.max(initial=0) + 1) + item, return_index=True, return_inverse=True)
    positions: NDArray[np.int64] = first[code]
    return positions
