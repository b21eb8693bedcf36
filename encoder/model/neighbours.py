"""Items that come near each other in users' histories, so that a rare item can lean on its neighbours."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.sequences import Sequences

SPAN = 3  # events apart at most; nearer ones weigh more, 1 / distance
PRIOR = 1.0  # weight of no neighbour: few sightings are trusted little
KEPT = 16  # neighbours of an item, those of most weight: what a step of training costs grows with them


class Neighbours(nn.Module):
    """Vectors of items plus a share, learnt for each component, of the mean of their neighbours' vectors: one layer of
    a graph convolution (Kipf & Welling 2017), on the items' side alone. Serving does not know it: what it gives is
    taken over into the vectors after training."""

    _matrix: Tensor
    _near: Tensor
    _share_of: Tensor

    def __init__(self, sequences: Sequences, items: int, width: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.zeros(width))  # an untrained model is what it is without
        matrix = neighbour_matrix(sequences, items)
        near, share_of = _padded(matrix)
        for name, tensor in (("_matrix", matrix), ("_near", near), ("_share_of", share_of)):
            self.register_buffer(name, tensor, persistent=False)  # moves with the module, and is not saved

    def forward(self, vectors: Tensor) -> Tensor:
        """(N + 1, D) vectors -> (N + 1, D)."""
        with torch.autocast(vectors.device.type, enabled=False):  # a sparse product in bfloat16 has no gradient
            near: Tensor = torch.sparse.mm(self._matrix, vectors)
        return vectors + self.share * near

    def of_rows(self, read: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """(n, D) of the items `rows`, as `forward` gives them. read: gives the vectors of items, each asked for once:
        these and their neighbours."""
        near, share = self._near[rows], self._share_of[rows]
        needed, place = torch.unique(torch.cat([rows[:, None], near], dim=1), return_inverse=True)
        vectors = read(needed)
        mean = functional.embedding_bag(place[:, 1:], vectors, per_sample_weights=share, mode="sum")
        return functional.embedding(place[:, 0], vectors) + self.share * mean


def neighbour_matrix(sequences: Sequences, items: int) -> Tensor:
    """(N + 1, N + 1) float32 sparse: row i holds the share of each item among what came near item i, in both
    directions, for the KEPT nearest of each. Rows of items that were seen little sum to less than 1, that of the
    unknown item to 0."""
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float64]] = []
    item, steps = sequences.item, sequences.history_lengths()
    for distance in range(1, SPAN + 1):
        later = np.flatnonzero(steps >= distance)  # positions whose user has an event that much before
        one, other = item[later - distance], item[later]
        near = (one > 0) & (other > 0) & (one != other)
        for a, b in ((one[near], other[near]), (other[near], one[near])):
            rows.append(a)
            columns.append(b)
            weights.append(np.full(len(a), 1 / distance))
    codes = np.concatenate(rows) * (items + 1) + np.concatenate(columns)
    pairs, pair_of = np.unique(codes, return_inverse=True)
    weight = np.bincount(pair_of, weights=np.concatenate(weights), minlength=len(pairs))
    row, column = np.divmod(pairs, items + 1)
    share = weight / (np.bincount(row, weights=weight, minlength=items + 1) + PRIOR)[row]
    order = np.lexsort((-share, row))  # rows one after another, in each the largest share first
    place = np.arange(len(order)) - np.searchsorted(row, row)  # rows are sorted: of an entry within its row
    kept = order[place < KEPT]
    indices = torch.from_numpy(np.stack([row[kept], column[kept]]))
    values = torch.from_numpy(share[kept].astype(np.float32))
    shape = (items + 1, items + 1)
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=True).coalesce()


def _padded(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(N + 1, KEPT) int64 neighbours of each item, (N + 1, KEPT) float32 their shares; 0 where there are fewer."""
    row, column = matrix.indices()
    place = torch.arange(len(row)) - torch.searchsorted(row, row)
    near = torch.zeros(len(matrix), KEPT, dtype=torch.int64)
    share = torch.zeros(len(matrix), KEPT)
    near[row, place], share[row, place] = column, matrix.values()
    return near, share
