"""Which events are evaluated where ranking all of them over a large catalogue costs too much. Pure.

Events are sampled, never items: a rank among sampled items is no estimate of the rank among all, and may order two
models the wrong way round (Krichene & Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020). A mean over
sampled events, each ranked over the whole catalogue, is an unbiased estimate of the mean over all.
"""

from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

from streams.contracts import record_id

HASHES = 2**64


class Sample:
    """A share of the events, chosen by a hash of the record's id: a replay, another worker and another bundle choose
    the same ones, so that ids still come exactly once and two bundles are compared on the same events."""

    def __init__(self, topic: str, share: float) -> None:
        """share: above 0, up to 1."""
        self.share = share
        self._topic = topic
        self._below = int(share * HASHES)  # at 1 above every hash

    def due(self, partition: int, offsets: Sequence[int]) -> list[int]:
        """Positions in `offsets` of the records to evaluate, in order."""
        if self.share == 1:
            return list(range(len(offsets)))
        prefix, below = record_id(self._topic, partition, 0)[:-1], self._below
        return [at for at, offset in enumerate(offsets) if xxh3_64_intdigest(f"{prefix}{offset}".encode()) < below]


EVERYTHING = Sample("", 1.0)
