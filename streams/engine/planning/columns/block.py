"""A block of one partition's records as columns. Pure."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.features import Features

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Digests = NDArray[np.uint64]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of one partition that name a user: n events and erasures, by offset and line.

    A record with several events has a row for each of its events. The columns of an event mean nothing in the row of an
    erasure.
    """

    partition: int
    user_ids: list[str]  # (u,) each user of the block once
    items: NDArray[np.object_]  # (i,) str, each item of the block once
    user: Integers  # (n,) place in `user_ids`
    item: Integers  # (n,) place in `items`
    item_index: Integers  # (n,) index in the vocabulary, 0 for an unknown item
    action_index: Integers  # (n,)
    time_ms: Integers  # (n,) of the event
    record_ms: Integers  # (n,) the timestamp of the record
    offset: Integers  # (n,) of the record
    is_first: Flags  # (n,) the first event of its record, or an erasure
    is_erasure: Flags  # (n,)
    digest: Digests  # (n,) the hash of the event's id (`streams.engine.planning.repeats`), never 0
    features: Features  # (n,) each: the features that the bundle names

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.user)
