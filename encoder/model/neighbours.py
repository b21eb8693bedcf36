"""The neighbours of an item: the items that users meet shortly before it or after it.

In training, neighbours support the vectors of rare items.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.sequences import Sequences
from encoder.metrics.followers.item_pairs import ItemPairs

MAX_DISTANCE = 3  # events between two neighbours; a pair at distance d has the weight 1 / d
PRIOR_WEIGHT = 1.0  # weight of "no neighbour", so that few observations count little
MAX_NEIGHBOURS = 16  # of an item, those with the largest weights; the cost of a training step grows with this number


class Neighbours(nn.Module):
    """Adds to an item's vector the weighted mean of its neighbours' vectors.

    A factor is learnt for each component. The module is one layer of a graph convolution (Kipf & Welling 2017) on the
    side of the items. It exists only in training: `ItemTable.fold_neighbours` adds the result to the vectors.
    """

    _matrix: Tensor  # (N + 1, N + 1) float32 sparse, from `neighbour_matrix`
    _neighbours: Tensor  # (N + 1, MAX_NEIGHBOURS) int64
    _weights: Tensor  # (N + 1, MAX_NEIGHBOURS) float32

    def __init__(self, sequences: Sequences, items: int, width: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.zeros(width))  # neighbours have no effect before training
        matrix = neighbour_matrix(sequences, items)
        neighbours, weights = _padded(matrix)
        for name, tensor in (("_matrix", matrix), ("_neighbours", neighbours), ("_weights", weights)):
            self.register_buffer(name, tensor, persistent=False)  # moves with the module, but is not saved

    def forward(self, vectors: Tensor) -> Tensor:
        """(N + 1, D) vectors of all items -> (N + 1, D) vectors with the contributions of the neighbours."""
        with torch.autocast(vectors.device.type, enabled=False):  # a sparse product in bfloat16 has no gradient
            mean: Tensor = torch.sparse.mm(self._matrix, vectors)
        return vectors + self.share * mean

    def forward_rows(self, read: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """(n,) items -> (n, D) their vectors with the contributions of the neighbours, as in `forward`.

        read: returns the vectors of distinct items. It is called once, with the items and all their neighbours.
        """
        neighbours, weights = self._neighbours[rows], self._weights[rows]
        needed, place = torch.unique(torch.cat([rows[:, None], neighbours], dim=1), return_inverse=True)
        vectors = read(needed)
        mean = functional.embedding_bag(place[:, 1:], vectors, per_sample_weights=weights, mode="sum")
        return functional.embedding(place[:, 0], vectors) + self.share * mean


def neighbour_matrix(sequences: Sequences, items: int) -> Tensor:
    """(N + 1, N + 1) float32 sparse: row i holds the weights of the neighbours of item i.

    A neighbour's weight is its share of all items within MAX_DISTANCE events of item i, before or after. A row keeps
    the MAX_NEIGHBOURS largest weights. The rows of rare items sum to less than 1, and the row of the unknown item is 0.
    """
    pairs = ItemPairs.count(sequences, items, MAX_DISTANCE).both_ways(items)
    row, column, weight = pairs.first, pairs.second, pairs.weight
    share = weight / (np.bincount(row, weights=weight, minlength=items + 1) + PRIOR_WEIGHT)[row]
    order = np.lexsort((-share, row))  # sorted by row, and by descending share within a row
    place = np.arange(len(order)) - np.searchsorted(row, row)  # position of each entry within its row
    kept = order[place < MAX_NEIGHBOURS]
    indices = torch.from_numpy(np.stack([row[kept], column[kept]]))
    values = torch.from_numpy(share[kept].astype(np.float32))
    shape = (items + 1, items + 1)
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=True).coalesce()


def _padded(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(N + 1, MAX_NEIGHBOURS) int64 neighbours, (N + 1, MAX_NEIGHBOURS) float32 their weights, padded with 0."""
    row, column = matrix.indices()
    place = torch.arange(len(row)) - torch.searchsorted(row, row)
    neighbours = torch.zeros(len(matrix), MAX_NEIGHBOURS, dtype=torch.int64)
    weights = torch.zeros(len(matrix), MAX_NEIGHBOURS)
    neighbours[row, place], weights[row, place] = column, matrix.values()
    return neighbours, weights
