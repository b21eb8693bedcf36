"""Drawing from many discrete distributions at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """R distributions over values: entry e belongs to distribution `row[e]` and gives `value[e]` with `probability[e]`.

    Entries stand in order of their row; every row 0..R-1 has entries.
    """

    row: Ints  # (E,)
    value: Ints  # (E,)
    probability: Floats  # (E,) sums to 1 within a row
    cumulative: Floats  # (E,) row + cumulative probability within the row, so one search serves all rows

    @classmethod
    def of(cls, row: Ints, value: Ints, weight: Floats) -> "Draws":
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
    def dense(cls, weight: Floats) -> "Draws":
        """(R, M) weights over the values 0..M-1."""
        rows, width = weight.shape
        return cls.of(np.repeat(np.arange(rows), width), np.tile(np.arange(width), rows), weight.ravel())

    def of_row(self, row: int, width: int) -> Floats:
        """(width,) the probabilities of the values 0..width-1 in one of the distributions."""
        entries = self.row == row
        probabilities = np.zeros(width)
        np.add.at(probabilities, self.value[entries], self.probability[entries])
        return probabilities

    def draw(self, rows: Ints, random: np.random.Generator) -> Ints:
        """One value from each of the distributions `rows`."""
        return self.value[np.searchsorted(self.cumulative, rows + random.random(len(rows)), side="right")]

    def draw_born(self, rows: Ints, at: Floats, born: Floats, random: np.random.Generator) -> Ints:
        """The same for items, given that they exist: `born[item] <= at`. Draws again until that holds.

        Every row must have an item that has been there from the start (`born` 0).
        """
        values = self.draw(rows, random)
        pending = np.flatnonzero(born[values] > at)
        while len(pending):
            values[pending] = self.draw(rows[pending], random)
            pending = pending[born[values[pending]] > at[pending]]
        return values
