"""Small sequences of events, and second implementations of their recent items and of their pairs."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from encoder.data.recent_items import PLACES
from encoder.data.sequences import Sequences


def random_sequences(users: int = 40) -> Sequences:
    """Return sequences of 1 to 59 random events for each user."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, users)
    n = int(lengths.sum())
    return Sequences(
        starts=np.append(0, np.cumsum(lengths)),
        item=rng.integers(1, 9, n),
        action=rng.integers(1, 3, n),
        gap_ms=rng.integers(0, 9, n),
        row=np.arange(n),
        features={},
    )


def sequences_of(*users: list[int]) -> Sequences:
    """Return sequences of the given items for each user, all with the same action and without gaps in time."""
    item = np.array([item for user in users for item in user], np.int64)
    starts = np.cumsum([0, *(len(user) for user in users)]).astype(np.int64)
    return Sequences(starts, item, np.ones_like(item), np.zeros_like(item), np.arange(len(item)), {})


class Recent(NamedTuple):
    """One recent item."""

    item: int
    action: int
    time_ms: int
    count: int


def sequences_with_repeats(users: int = 60, items: int = 25, longest: int = 80) -> Sequences:
    """Return random sequences of up to `longest` events. Some users know few items, and item 0 is unknown."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, longest + 1, users)
    starts = np.append(0, np.cumsum(lengths))
    n = int(starts[-1])
    known = np.repeat(rng.integers(2, items + 1, users), lengths)  # how many items the user of an event chooses from
    gap_ms = np.exp(rng.uniform(0, 18, n)).astype(np.int64)
    gap_ms[starts[:-1]] = -1
    item, action = rng.integers(0, known + 1), rng.integers(0, 4, n)
    return Sequences(starts=starts, item=item, action=action, gap_ms=gap_ms, row=np.arange(n), features={})


def recent_before_each_event(sequences: Sequences) -> list[tuple[int, list[Recent]]]:
    """Return the time of the user's last event and the recent items, the newest first, before each event."""
    found: list[tuple[int, list[Recent]]] = []
    for start, end in zip(sequences.starts[:-1].tolist(), sequences.starts[1:].tolist(), strict=True):
        time_ms, recent = 0, list[Recent]()
        for at in range(start, end):
            found.append((time_ms, recent))
            time_ms += max(0, int(sequences.gap_ms[at]))
            item = int(sequences.item[at])
            if item:
                count = 1 + sum(one.count for one in recent if one.item == item)
                others = [one for one in recent if one.item != item]
                recent = [Recent(item, int(sequences.action[at]), time_ms, count), *others][:PLACES]
    return found


def pairs_one_by_one(sequences: Sequences, max_distance: int, *, repeats: bool = False) -> dict[tuple[int, int], float]:
    """Return the weight of each pair of two known items of a user. repeats: also of an item with itself."""
    pairs: Counter[tuple[int, int]] = Counter()
    for begin, end in zip(sequences.starts[:-1], sequences.starts[1:], strict=True):
        items = sequences.item[begin:end].tolist()
        for at, second in enumerate(items):
            for distance in range(1, min(at, max_distance) + 1):
                first = items[at - distance]
                if first and second and (repeats or first != second):
                    pairs[first, second] += 1 / distance
    return dict(pairs)
