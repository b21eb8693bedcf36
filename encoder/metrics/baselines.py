"""The baselines of a model: ranking by popularity, and by how often an item followed the user's last item.

This module is pure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from encoder.data.sequences import Sequences
from encoder.metrics.followers.item_pairs import pair_codes
from encoder.metrics.followers.ranks import ranks_by_followers, ranks_of_popularity
from encoder.metrics.ranking import MISS

# The rankings that a training shows beside the model, and their names for a reader.
BASELINES = {
    "popularity": "popularity",
    "last_item": "after the last item",
    "sequential_rules": "sequential rules",  # see encoder.metrics.followers.sequential_rules
}


@dataclass(frozen=True)
class Baselines:
    """Counts of a training log over N items. A pair is two known items that directly follow each other for a user."""

    popularity: NDArray[np.int64]  # (N + 1,) number of events by item index; row 0 is not used
    pairs: NDArray[np.int64]  # (m,) codes `previous * (N + 1) + next` of the pairs, sorted
    pair_counts: NDArray[np.int64]  # (m,) how often each pair occurred

    @classmethod
    def from_sequences(cls, sequences: Sequences, items: int) -> "Baselines":
        """Count the events and pairs of sequences. items: N."""
        previous = sequences.previous_item()
        known = (previous > 0) & (sequences.item > 0)
        codes = pair_codes(previous[known], sequences.item[known], items)
        pairs, pair_counts = np.unique(codes, return_counts=True)
        popularity = np.bincount(sequences.item, minlength=items + 1)
        popularity[0] = 0
        return cls(popularity, pairs, pair_counts)

    def widened(self, items: int) -> "Baselines":
        """The same counts over `items` items. New items have the last indices and no counts."""
        previous, item = np.divmod(self.pairs, len(self.popularity))
        popularity = np.pad(self.popularity, (0, items + 1 - len(self.popularity)))
        return Baselines(popularity, pair_codes(previous, item, items), self.pair_counts)

    def __add__(self, other: "Baselines") -> "Baselines":
        """Add the counts of two baselines over the same items."""
        pairs, place = np.unique(np.concatenate([self.pairs, other.pairs]), return_inverse=True)
        counts = np.zeros(len(pairs), np.int64)
        np.add.at(counts, place, np.concatenate([self.pair_counts, other.pair_counts]))
        return Baselines(self.popularity + other.popularity, pairs, counts)

    def popularity_ranks(self, item: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) item indices -> (n,) ranks by training events. Ties count against the item. Index 0 has MISS."""
        return np.where(item > 0, ranks_of_popularity(self.popularity)[item], MISS)

    def last_item_ranks(self, previous: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) previous items, (n,) items -> (n,) ranks by how often the item followed the previous item.

        Popularity orders the items that followed equally often or never, so this ranking is at least as good as a
        ranking by the count alone. Remaining ties count against the item. Index 0 has MISS.
        """
        size = len(self.popularity)
        known = previous > 0
        starts = np.append(0, np.cumsum(known))
        history = csr_array((np.ones(starts[-1], np.int64), previous[known], starts), shape=(len(item), size))
        starts = np.searchsorted(self.pairs, np.arange(size + 1) * size)
        followers = csr_array((self.pair_counts, self.pairs % size, starts), shape=(size, size))
        return ranks_by_followers(history, followers, self.popularity, item)
