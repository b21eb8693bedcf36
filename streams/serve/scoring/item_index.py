"""An index that proposes the items with the highest dot products, for catalogues that are too large for exact passes.

The index holds each component of a vector as one of 16 values, which are learned for each component, in an eighth of
the memory of float32. A search looks at all items in this form, by the fast scan of faiss. So a search misses no item
but by the rounding of the dot products: docs/decisions.md#approximate-candidates
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from streams.config.errors import SettingsError

EXTRA = "faiss is missing: install thalweg with its extra, as in `pip install 'thalweg[approximate]'`"
# Items of a catalogue up to which all answers are exact: the index costs as much there as a pass that several requests
# share. The figures are in docs/decisions.md#approximate-candidates
MOST_EXACT = 200_000
BITS = 4  # of a component; the fast scan of faiss has no other number
LEARNED_FROM = 65_536  # items from which the codes are learned


class ItemIndex:
    """The items of one bundle. A search changes nothing, so that several threads may search."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """vectors: (N + 1, W) float32, where row 0 is no item. Other threads of Python run meanwhile.

        Raises SettingsError where faiss is not installed.
        """
        module = faiss()
        items, width = vectors[1:], vectors.shape[1]
        self.size_bytes = len(items) * -(-width * BITS // 8)
        self._index = module.IndexPQFastScan(width, width, BITS, module.METRIC_INNER_PRODUCT)
        sample = np.random.default_rng(0).choice(len(items), min(len(items), LEARNED_FROM), replace=False)
        with threadpool_limits(1):  # Requests are answered meanwhile.
            self._index.train(items[np.sort(sample)])
            self._index.add(items)

    def nearest(self, query: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The `count` items with the highest dot products with a (W,) query: (n,) indices from 1, (n,) dot products.

        Fewer come where the index has fewer. The dot products are approximate and in descending order.
        """
        dot, place = self._index.search(query[None], count)
        is_found = place[0] >= 0
        return place[0][is_found] + 1, dot[0][is_found]


def faiss() -> Any:
    """The module faiss. Raises SettingsError, which names the extra, where the module is not installed."""
    try:
        import faiss as module
    except ModuleNotFoundError as error:
        if error.name != "faiss":
            raise
        raise SettingsError(EXTRA) from None
    return module
