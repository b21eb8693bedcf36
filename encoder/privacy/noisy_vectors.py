"""Vectors that are clipped to a norm and disturbed by noise, which a secret key determines. Pure."""

import math
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError

KEY_BYTES = 32  # the fewest bytes of a key
_DRAWS = 8  # numbers of 64 bits in one hash
_BITS = 52  # of a number that decide: its half steps are then exact in float64


def clipped(vectors: NDArray[np.float32], bound: float) -> NDArray[np.float32]:
    """(n, R) vectors, those with a longer Euclidean norm shortened to `bound`."""
    norm = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    shortened: NDArray[np.float32] = (vectors * (bound / np.maximum(norm, bound))).astype(np.float32)
    return shortened


def standard_noise(key: bytes, releases: Sequence[bytes], width: int) -> NDArray[np.float64]:
    """(n, width) independent standard normal numbers, one row for each release.

    The same key and release always give the same row, so a release that is written again tells nothing new. Who lacks
    the key cannot tell the row from a random one, as far as keyed BLAKE2b is a pseudorandom function (RFC 7693).

    releases: a name of each release, which differs between two different vectors. Raises InputError for a short key.
    """
    from scipy.special import ndtri  # takes half a second to load, and most workers add no noise

    if len(key) < KEY_BYTES:
        raise InputError(f"a key of {len(key)} bytes: give {KEY_BYTES} random bytes or more")
    key = blake2b(key).digest()  # a key of BLAKE2b has 64 bytes at most
    blocks = range(math.ceil(width / _DRAWS))
    drawn = b"".join(
        blake2b(release, key=key, salt=block.to_bytes(4, "little")).digest() for release in releases for block in blocks
    )
    number = np.frombuffer(drawn, "<u8").reshape(len(releases), len(blocks) * _DRAWS)[:, :width] >> np.uint64(
        64 - _BITS
    )
    noise: NDArray[np.float64] = ndtri((number.astype(np.float64) + 0.5) / 2**_BITS)
    return noise


def private_vectors(
    vectors: NDArray[np.float32], bound: float, sigma: float, key: bytes, releases: Sequence[bytes]
) -> NDArray[np.float64]:
    """(n, R) vectors -> the vectors clipped to the norm `bound`, with noise of the standard deviation `sigma`.

    The distance between two clipped vectors is at most twice the bound, which is the sensitivity where neighbours
    differ in the whole history of a user. key, releases: as of `standard_noise`.
    """
    noise = standard_noise(key, releases, vectors.shape[1])
    disturbed: NDArray[np.float64] = clipped(vectors, bound) + sigma * noise
    return disturbed
