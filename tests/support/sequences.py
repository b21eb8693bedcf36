"""Small sequences of events."""

import numpy as np

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
