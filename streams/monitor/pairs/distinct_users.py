"""How many different users there were, in bounded memory. Pure: no I/O, no clock."""

import math

from xxhash import xxh3_64_intdigest

_BITS = 1 << 21


class DistinctUsers:
    """Linear counting (Whang, Vander-Zanden and Taylor, A linear-time probabilistic counting algorithm, 1990).

    A user sets one of 2^21 bits (256 KB). The share of bits that are still 0 tells the number of users, with a standard
    error below 0.1% up to a million users and below 0.3% up to five millions.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)
        self._set = 0

    def add(self, user_id: str) -> None:
        place = xxh3_64_intdigest(user_id.encode()) % _BITS
        bit = 1 << (place & 7)
        if not self._bits[place >> 3] & bit:
            self._bits[place >> 3] |= bit
            self._set += 1

    @property
    def count(self) -> int:
        """The estimate, which counts 30 million users as the most."""
        return round(-_BITS * math.log(max(1, _BITS - self._set) / _BITS))
