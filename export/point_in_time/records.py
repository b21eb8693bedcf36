"""Events, labels and vectors as rows of fixed width, which a temporary folder holds. Pure."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

# A user is the 128-bit hash of the user id. Two of a billion users have the same hash with a probability of 1e-21.
USER = "S16"
EVENT = np.dtype(
    [
        ("user", USER),
        ("moment_ms", np.int64),  # when the event changed the user: the event's time, or the record's timestamp
        ("time_ms", np.int64),  # of the event
        ("partition", np.int32),
        ("record", np.int64),  # number of the record that holds the event; the events of a record share the number
        ("line", np.int32),  # number of the event in its record, from 0
        ("digest", np.uint64),  # hash of the event id, 0 where the event has no id
        ("item", np.int32),  # index in the vocabulary, 0 for an unknown item
        ("action", np.int32),
        ("category", np.int32),
        ("brand", np.int32),
        ("price", np.float32),  # nan where the event has no price
        ("is_erasure", np.bool_),  # the record asks to forget the user, and holds no event
    ]
)
LABEL = np.dtype([("user", USER), ("time_ms", np.int64), ("row", np.int64)])

Records = NDArray[np.void]  # (n,) of one of these types


def vector_type(width: int) -> np.dtype[np.void]:
    """The type of the result of a label: the row of the label, and what the user had at the moment of the label."""
    return np.dtype(
        [
            ("row", np.int64),
            ("steps", np.int64),
            ("last_time_ms", np.int64),
            ("representation", np.float32, (width,)),
        ]
    )


def user_keys(user_ids: Iterable[str]) -> NDArray[np.bytes_]:
    """(n,) USER, the hash of each user id."""
    return np.array([xxh3_128_digest(user_id.encode()) for user_id in user_ids], USER)


def key_bytes(user: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """(n,) USER -> (n, 16) uint8, the bytes of each hash."""
    return np.ascontiguousarray(user).view(np.uint8).reshape(len(user), np.dtype(USER).itemsize)
