"""What a model has to beat: popularity, and the items that most often followed the last one. Free of torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from encoder.metrics.ranking import MISS


@dataclass(frozen=True)
class Baselines:
    """Counts of a training log over N items.

    popularity: (N + 1,) events per item index, row 0 unused. pairs, pair_counts: (m,) int64 sorted codes
    `previous * (N + 1) + next` of consecutive known items of a user, and how often each occurred.
    """

    popularity: NDArray[np.int64]
    pairs: NDArray[np.int64]
    pair_counts: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: Sequences, items: int) -> "Baselines":
        previous = sequences.previous_item()
        known = (previous > 0) & (sequences.item > 0)
        codes = previous[known] * (items + 1) + sequences.item[known]
        pairs, pair_counts = np.unique(codes, return_counts=True)
        popularity = np.bincount(sequences.item, minlength=items + 1)
        popularity[0] = 0
        return cls(popularity, pairs, pair_counts)

    def widened(self, items: int) -> "Baselines":
        """The same counts over at least as many items, the new ones after the others."""
        previous, item = np.divmod(self.pairs, len(self.popularity))
        popularity = np.pad(self.popularity, (0, items + 1 - len(self.popularity)))
        return Baselines(popularity, previous * (items + 1) + item, self.pair_counts)

    def __add__(self, other: "Baselines") -> "Baselines":
        """The sum of counts over the same items."""
        pairs, place = np.unique(np.concatenate([self.pairs, other.pairs]), return_inverse=True)
        counts = np.zeros(len(pairs), np.int64)
        np.add.at(counts, place, np.concatenate([self.pair_counts, other.pair_counts]))
        return Baselines(self.popularity + other.popularity, pairs, counts)

    def popularity_ranks(self, item: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) item indices -> (n,) rank of each by training events, ties against it, MISS for index 0."""
        return np.where(item > 0, self._rank_of_item()[item], MISS)

    def last_item_ranks(self, previous: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) previous items and (n,) items -> (n,) rank by how often the item followed the previous one.

        Items that followed equally often, or never, are ordered by popularity, so this is at least as strong as the
        plain count. Remaining ties count against it; MISS for index 0.
        """
        count = len(self.popularity)
        by_popularity = self._rank_of_item()
        starts = np.searchsorted(self.pairs, np.arange(count + 1) * count)
        ranks = np.zeros(len(item), np.int64)
        for position, (before, actual) in enumerate(zip(previous.tolist(), item.tolist(), strict=True)):
            if actual == 0:
                continue
            followers = slice(starts[max(before, 0)], starts[max(before, 0) + 1])
            next_items, counts = self.pairs[followers] % count, self.pair_counts[followers]
            here = counts[next_items == actual]
            as_popular = self.popularity[next_items] >= self.popularity[actual]
            if len(here):
                ranks[position] = ((counts > here[0]) | ((counts == here[0]) & as_popular)).sum()
            else:
                ranks[position] = by_popularity[actual] + (~as_popular).sum()
        return ranks

    def _rank_of_item(self) -> NDArray[np.int64]:
        """(N + 1,) number of items with at least as many events."""
        ascending = np.sort(self.popularity[1:])
        return len(ascending) - np.searchsorted(ascending, self.popularity, side="left")
