"""The baselines of a model: ranking by popularity, and by how often an item followed the user's last item.

This module is pure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from encoder.metrics.ranking import MISS


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
        codes = previous[known] * (items + 1) + sequences.item[known]
        pairs, pair_counts = np.unique(codes, return_counts=True)
        popularity = np.bincount(sequences.item, minlength=items + 1)
        popularity[0] = 0
        return cls(popularity, pairs, pair_counts)

    def widened(self, items: int) -> "Baselines":
        """The same counts over `items` items. New items have the last indices and no counts."""
        previous, item = np.divmod(self.pairs, len(self.popularity))
        popularity = np.pad(self.popularity, (0, items + 1 - len(self.popularity)))
        return Baselines(popularity, previous * (items + 1) + item, self.pair_counts)

    def __add__(self, other: "Baselines") -> "Baselines":
        """Add the counts of two baselines over the same items."""
        pairs, place = np.unique(np.concatenate([self.pairs, other.pairs]), return_inverse=True)
        counts = np.zeros(len(pairs), np.int64)
        np.add.at(counts, place, np.concatenate([self.pair_counts, other.pair_counts]))
        return Baselines(self.popularity + other.popularity, pairs, counts)

    def popularity_ranks(self, item: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) item indices -> (n,) ranks by training events. Ties count against the item. Index 0 has MISS."""
        return np.where(item > 0, self._rank_of_item()[item], MISS)

    def last_item_ranks(self, previous: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) previous items, (n,) items -> (n,) ranks by how often the item followed the previous item.

        Popularity orders the items that followed equally often or never, so this ranking is at least as good as a
        ranking by the count alone. Remaining ties count against the item. Index 0 has MISS.
        """
        count = len(self.popularity)
        by_popularity = self._rank_of_item()
        starts = np.searchsorted(self.pairs, np.arange(count + 1) * count)
        ranks = np.zeros(len(item), np.int64)
        for position, (last, actual) in enumerate(zip(previous.tolist(), item.tolist(), strict=True)):
            if actual == 0:
                continue
            followers = slice(starts[max(last, 0)], starts[max(last, 0) + 1])
            next_items, counts = self.pairs[followers] % count, self.pair_counts[followers]
            here = counts[next_items == actual]
            as_popular = self.popularity[next_items] >= self.popularity[actual]
            if len(here):
                ranks[position] = ((counts > here[0]) | ((counts == here[0]) & as_popular)).sum()
            else:
                ranks[position] = by_popularity[actual] + (~as_popular).sum()
        return ranks

    def _rank_of_item(self) -> NDArray[np.int64]:
        """(N + 1,) number of items that have at least as many events as each item."""
        ascending = np.sort(self.popularity[1:])
        return len(ascending) - np.searchsorted(ascending, self.popularity, side="left")
