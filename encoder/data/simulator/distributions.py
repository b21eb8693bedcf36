"""Draws from many discrete distributions at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Distributions:
    """R discrete distributions. Entry e says that distribution `row[e]` has the value `value[e]` with `probability[e]`.

    Entries are sorted by row, and every row from 0 to R - 1 has entries.
    """

    row: Ints  # (E,)
    value: Ints  # (E,)
    probability: Floats  # (E,) the probabilities of a row sum to 1
    cumulative: Floats  # (E,) row + cumulative probability in the row: one search finds entries of all rows

    @classmethod
    def from_entries(cls, row: Ints, value: Ints, weight: Floats) -> "Distributions":
        """Normalise (E,) weights to probabilities in each row. Entries may have any order."""
        order = np.argsort(row, kind="stable")
        row, value, weight = row[order], value[order], weight[order]
        probability = weight / np.bincount(row, weight)[row]
        ends = np.flatnonzero(np.append(np.diff(row), 1))
        total = np.cumsum(probability)
        before = np.concatenate(([0.0], total[ends[:-1]]))[row]
        cumulative = row.astype(np.float64) + np.minimum(total - before, 1.0)
        cumulative[ends] = row[ends] + 1.0
        return cls(row, value, probability, cumulative)

    @classmethod
    def from_matrix(cls, weight: Floats) -> "Distributions":
        """weight: (R, M) weights of the values 0 to M - 1."""
        rows, width = weight.shape
        return cls.from_entries(np.repeat(np.arange(rows), width), np.tile(np.arange(width), rows), weight.ravel())

    def dense_row(self, row: int, width: int) -> Floats:
        """(width,) probabilities of the values 0 to width - 1 in one distribution."""
        entries = self.row == row
        probabilities = np.zeros(width)
        np.add.at(probabilities, self.value[entries], self.probability[entries])
        return probabilities

    def draw(self, rows: Ints, random: np.random.Generator) -> Ints:
        """(m,) rows -> (m,) values, one from each of these distributions."""
        return self.value[np.searchsorted(self.cumulative, rows + random.random(len(rows)), side="right")]

    def draw_existing(self, rows: Ints, at: Floats, born: Floats, random: np.random.Generator) -> Ints:
        """(m,) rows -> (m,) items, one from each of these distributions, that exist at the times `at`: born <= at.

        at: (m,) and born: (N,) are fractions of the log's time. Every row must have an item with `born` 0, because the
        method draws again until all items exist.
        """
        values = self.draw(rows, random)
        pending = np.flatnonzero(born[values] > at)
        while len(pending):
            values[pending] = self.draw(rows[pending], random)
            pending = pending[born[values[pending]] > at[pending]]
        return values
