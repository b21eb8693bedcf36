"""Which events are evaluated where ranking every event over a large catalogue costs too much. Pure.

Events are sampled, never items. A rank among sampled items does not estimate the rank among all items, and may order
two models the wrong way round (Krichene and Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020,
https://doi.org/10.1145/3394486.3403226). A mean over sampled events, each ranked over the whole catalogue, is an
unbiased estimate of the mean over all events.
"""

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

HASHES = 2**64


class Sample:
    """A share of the events, chosen by a hash of `<topic>-<partition>-<offset>` of the record.

    A replay, another worker and another bundle choose the same events. So every id still comes exactly once, and two
    bundles are compared on the same events. The hashed text names no incarnation of the topic, because two keyspaces
    may number the incarnations differently and are still compared on the same events. The events of one record are
    chosen together.
    """

    def __init__(self, topic: str, share: float) -> None:
        """share: above 0, up to 1."""
        self.share = share
        self._topic = topic
        self._below = int(share * HASHES)  # A share of 1 puts this bound above every hash.

    def due(self, partitions: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the records to evaluate, ascending. partitions, offsets: (n,) of each record."""
        if self.share == 1:
            return np.arange(len(offsets))
        positions = zip(partitions.tolist(), offsets.tolist(), strict=True)
        names = (f"{self._topic}-{partition}-{offset}" for partition, offset in positions)
        due = [at for at, name in enumerate(names) if xxh3_64_intdigest(name.encode()) < self._below]
        return np.array(due, np.int64)


EVERYTHING = Sample("", 1.0)
