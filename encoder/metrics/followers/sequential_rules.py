"""Sequential rules: a ranking by what followed the last items of a user, the strongest baseline that only counts.

A rule says how often an item followed another one, and counts more where both stood close together (Ludewig & Jannach
2018). All of the user's last items vote, the newest with the most weight. This module is pure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from encoder.data.sequences import Sequences
from encoder.metrics.followers.item_pairs import MAX_DISTANCE, ItemPairs
from encoder.metrics.followers.ranks import ranks_by_followers

DECAY = 0.5  # weight of an item of the history, relative to the item after it
MAX_FOLLOWERS = 100  # of an item, those with the largest weights, so that an event costs at most a thousand products
MAX_PLACES = 10  # items of the history that count; the next one would weigh a thousandth


@dataclass(frozen=True)
class SequentialRules:
    """The rules of a training log over N items."""

    followers: csr_array  # (N + 1, N + 1) float64, row i: the weights of the items that followed item i
    popularity: NDArray[np.int64]  # (N + 1,) number of events of each item

    @classmethod
    def count(cls, sequences: Sequences, popularity: NDArray[np.int64]) -> "SequentialRules":
        """Count what followed each item within MAX_DISTANCE events. An item may follow itself.

        popularity: (N + 1,) number of events of each item; it orders items with equal scores.
        """
        size = len(popularity)
        pairs = ItemPairs.count(sequences, size - 1, MAX_DISTANCE, repeats=True)
        order = np.lexsort((-popularity[pairs.second], -pairs.weight, pairs.first))
        place = np.arange(len(order)) - np.searchsorted(pairs.first, pairs.first)  # among the followers of an item
        kept = order[place < MAX_FOLLOWERS]
        return cls(
            csr_array((pairs.weight[kept], (pairs.first[kept], pairs.second[kept])), shape=(size, size)), popularity
        )

    def ranks(self, sequences: Sequences, is_scored: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n,) which events to rank -> (m,) ranks of their items before the events, in the order of the sequences.

        Ranks are over the whole catalogue. Items that no rule names follow in the order of popularity. Ties count
        against the item, and an unknown item has MISS.
        """
        position = np.flatnonzero(is_scored)
        distance = np.arange(1, MAX_PLACES + 1)
        has_item = distance <= sequences.history_lengths()[position][:, None]
        items = np.where(has_item, sequences.item[position[:, None] - distance], 0)
        event, place = np.nonzero(items)  # an unknown item has no rules
        weight = DECAY ** place.astype(np.float64)
        history = csr_array((weight, (event, items[event, place])), shape=(len(position), len(self.popularity)))
        return ranks_by_followers(history, self.followers, self.popularity, sequences.item[position])
