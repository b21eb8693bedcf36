"""Batches of padded windows: consecutive events of several users side by side. This module does not need torch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.features import Features
from encoder.data.recent_items import RecentItems
from encoder.data.sequences import Sequences


@dataclass(frozen=True)
class Window:
    """Up to T consecutive events of each of B users, padded to (B, T) with index 0.

    A user with more than T events has rows in several windows. `previous_row` says which row of the previous window
    has the state from which a row continues.
    """

    item: NDArray[np.int64]  # (B, T)
    action: NDArray[np.int64]  # (B, T)
    gap_ms: NDArray[np.int64]  # (B, T)
    censored_gap_ms: NDArray[np.int64]  # (B, T), -1 for padding
    position: NDArray[np.int64]  # (B, T) position of the event in the sequences, -1 for padding
    previous_row: NDArray[np.int64]  # (B,) row of the same user in the previous window, -1 for a new user
    features: Features  # feature name -> (B, T); padding holds the values of an arbitrary event
    recent: RecentItems  # (B, T, K) the last distinct items before each event; padding has none

    @property
    def starts_all_users(self) -> bool:
        """Whether no row continues a row of the previous window."""
        return bool((self.previous_row < 0).all())


def make_window(
    sequences: Sequences, starts: NDArray[np.int64], lengths: NDArray[np.int64], previous_row: NDArray[np.int64]
) -> Window:
    """The window whose row b holds the `lengths[b]` events from position `starts[b]` on. All arrays are (B,)."""
    offset = np.arange(int(lengths.max()))
    real = offset < lengths[:, None]
    position = np.where(real, starts[:, None] + offset, -1)
    return Window(
        item=np.where(real, sequences.item[position], 0).astype(np.int64),
        action=np.where(real, sequences.action[position], 0).astype(np.int64),
        gap_ms=np.where(real, sequences.gap_ms[position], 0),
        censored_gap_ms=sequences.censored_gap_ms(position),
        position=position,
        previous_row=previous_row,
        features={name: values[position] for name, values in sequences.features.items()},
        recent=sequences.recent_positions.before(position),
    )


def windows(sequences: Sequences, users: NDArray[np.int64], max_steps: int) -> Iterator[Window]:
    """Yield the users' events in windows of at most `max_steps` events. users: (B,) indices, in any order.

    The user with the most events has row 0, so that a user has the same row in every window.
    """
    users = users[np.argsort(-sequences.lengths[users], kind="stable")]
    lengths = sequences.lengths[users]
    starts = sequences.starts[users]
    for begin in range(0, int(lengths[0]), max_steps):
        active = int((lengths > begin).sum())
        previous_row = np.arange(active) if begin else np.full(active, -1)
        yield make_window(
            sequences, starts[:active] + begin, np.minimum(lengths[:active] - begin, max_steps), previous_row
        )


def length_batches(lengths: NDArray[np.int64], max_places: int, max_steps: int) -> list[NDArray[np.int64]]:
    """Group users of similar length, so that windows need little padding.

    lengths: (users,) number of events of each user. A batch's first window has at most `max_places` places, padding
    included, unless the batch has only one user. Returns the users of each batch, in ascending order of length.
    """
    order = np.argsort(lengths, kind="stable")
    batches, begin = [], 0
    while begin < len(order):
        # The longest user of a batch decides how wide the windows are. The batch grows while its places suffice.
        width = np.minimum(lengths[order[begin : begin + max_places]], max_steps)
        fits = width * np.arange(1, len(width) + 1) <= max_places
        size = max(1, int(fits.sum()))
        batches.append(order[begin : begin + size])
        begin += size
    return batches
