"""Vectors of items that come from counting pairs of items that users meet one soon after the other."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from encoder.data.sequences import Sequences
from encoder.metrics.followers.item_pairs import MAX_DISTANCE, ItemPairs

POWER_ITERATIONS = 4  # of the decomposition; more change the vectors little


def pair_vectors(sequences: Sequences, items: int, width: int) -> tuple[Tensor, Tensor]:
    """(N + 1, width) float32 vectors of the items as the first, and as the second, of a pair. Row 0 is about zero.

    The dot product of both is about the positive pointwise mutual information of the pair, which tells how much more
    often the second item follows the first than its popularity explains. The vectors are the two sides of a truncated
    singular value decomposition, as Levy & Goldberg (2014) describe for words:
    https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization
    """
    pairs = ItemPairs.count(sequences, items, MAX_DISTANCE)
    first, second, weight = pairs.first, pairs.second, pairs.weight
    if not len(weight):
        return torch.zeros(items + 1, width), torch.zeros(items + 1, width)
    of_first, of_second = (np.bincount(side, weights=weight, minlength=items + 1) for side in (first, second))
    information = np.log(weight * weight.sum() / (of_first[first] * of_second[second]))
    kept = information > 0
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([first[kept], second[kept]])),
        torch.from_numpy(information[kept].astype(np.float32)),
        (items + 1, items + 1),
        check_invariants=True,
    ).coalesce()
    size = min(width, items + 1)
    left, values, right = torch.svd_lowrank(matrix, q=size, niter=POWER_ITERATIONS)
    root, missing = values.sqrt(), (0, width - size)
    return functional.pad(left * root, missing), functional.pad(right * root, missing)
