"""A sample of the users of a log. A hash of the user id decides, so a user is in the samples of all logs or of none."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_HASH_BYTES = 8


def is_sampled(user_ids: Iterable[str], share: float) -> NDArray[np.bool_]:
    """(n,) which users are in the sample. share: of all users, from 0 to 1.

    The sample of a larger share has all users of the sample of a smaller share.
    """
    bound = int(share * 2 ** (8 * _HASH_BYTES))
    digests = (blake2b(user_id.encode(), digest_size=_HASH_BYTES).digest() for user_id in user_ids)
    return np.array([int.from_bytes(digest, "big") < bound for digest in digests], bool)
