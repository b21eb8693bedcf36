"""Which items stand together in the visits of users. This module is pure.

A visit is the events of one user without a pause of VISIT_GAP_MS or more. The similarity of two items is the number of
visits with both, divided by the geometric mean of the numbers of visits with each.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from encoder.data.sequences import Sequences

VISIT_GAP_MS = 6 * 3_600_000
MOST_ITEMS = 20  # of a visit that counts: a visit with more items says little, and the pairs grow with the square
MOST_COMPANIONS = 50  # of an item that are kept
DAMPING = 5.0  # visits that are added to the visits of each item, so that a pair seen once does not look certain
MOST_ROWS = 4_000_000  # items of visits that are counted, which bounds the memory: a longer log counts every k-th visit


@dataclass(frozen=True)
class Companions:
    """Counts over N items. Row i has the entries starts[i] to starts[i + 1] - 1, in ascending order of the items."""

    starts: NDArray[np.int64]  # (N + 2,)
    items: NDArray[np.int32]  # (m,) companions
    together: NDArray[np.float32]  # (m,) number of visits with both items
    visits: NDArray[np.float32]  # (N + 1,) number of visits with each item

    @classmethod
    def count(cls, sequences: Sequences, items: int) -> "Companions":
        """Count the visits of sequences. items: N."""
        known = sequences.item > 0
        codes = np.unique(visits_of(sequences)[known] * np.int64(items + 1) + sequences.item[known])
        of_visit, item = np.divmod(codes, items + 1)
        counts = np.bincount(of_visit)[of_visit]
        counted = (counts > 1) & (counts <= MOST_ITEMS)
        counted &= of_visit % (1 + int(counted.sum()) // MOST_ROWS) == 0
        _, row = np.unique(of_visit[counted], return_inverse=True)
        column = item[counted]
        shape = (int(row.max(initial=-1)) + 1, items + 1)
        table = csr_array((np.ones(len(row), np.float32), (row, column)), shape=shape)
        pairs = csr_array(table.T @ table)
        pairs.setdiag(0)
        return cls._kept(pairs, np.bincount(column, minlength=items + 1).astype(np.float32))

    @classmethod
    def _kept(cls, pairs: Any, visits: NDArray[np.float32]) -> "Companions":
        """The MOST_COMPANIONS most similar companions of each item; of equal ones, those with the lower indices."""
        pairs.eliminate_zeros()
        pairs.sort_indices()
        row, companion = np.repeat(np.arange(len(visits)), np.diff(pairs.indptr)), pairs.indices
        similarity = pairs.data / np.sqrt(visits[companion] + DAMPING)
        order = np.lexsort((companion, -similarity, row))
        place = np.arange(len(order)) - pairs.indptr[row]
        kept = np.sort(order[place < MOST_COMPANIONS])
        starts = np.append(0, np.cumsum(np.bincount(row[kept], minlength=len(visits))))
        return cls(
            starts.astype(np.int64), companion[kept].astype(np.int32), pairs.data[kept].astype(np.float32), visits
        )

    def widened(self, items: int) -> "Companions":
        """The same counts over `items` items. New items have the last indices and no companions."""
        more = items + 1 - len(self.visits)
        return Companions(
            np.append(self.starts, np.full(more, self.starts[-1])),
            self.items,
            self.together,
            np.pad(self.visits, (0, more)),
        )

    def __add__(self, other: "Companions") -> "Companions":
        """Add the counts of two parts of a log over the same items. Companions that were not kept are missing."""
        shape = (len(self.visits), len(self.visits))
        one, two = (csr_array((part.together, part.items, part.starts), shape=shape) for part in (self, other))
        return self._kept(csr_array(one + two), self.visits + other.visits)

    def similarities(self) -> NDArray[np.float32]:
        """(m,) similarity of each pair, from 0 to 1."""
        scale = np.sqrt(self.visits + DAMPING)
        row = np.repeat(np.arange(len(self.visits)), np.diff(self.starts))
        similarities: NDArray[np.float32] = (self.together / (scale[row] * scale[self.items])).astype(np.float32)
        return similarities


def visits_of(sequences: Sequences) -> NDArray[np.int64]:
    """(n,) the number of each event's visit, ascending from 0."""
    begins = sequences.gap_ms >= VISIT_GAP_MS
    begins[sequences.starts[:-1]] = True
    visits: NDArray[np.int64] = np.cumsum(begins) - 1
    return visits
