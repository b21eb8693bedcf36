"""Noise on the vectors of updates, for a stated (epsilon, delta): docs/private-vectors.md. Pure.

A published vector is p = r0 + grid(clip(r - r0) + sigma * z). r is the stored representation, and r0 is the one of a
user without history. z is standard normal noise that a secret key determines. Only the components that score differ
from r0: counters count the user's events.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.privacy.gaussian_mechanism import noise_scale
from encoder.privacy.noisy_vectors import KEY_BYTES, private_vectors
from streams.contracts.privacy.key_derivation import derived_key

FINGERPRINT_BYTES = 8
# Vectors are clipped in float32, so a norm may be above the bound by some of the last bits.
_ROUNDING = 1 + 1e-6
# Steps of the grid in one standard deviation. The last bits of a sum of floats tell something about its terms (Mironov,
# "On Significance of the Least Significant Bits for Differential Privacy", 2012), and a coarse grid takes them away.
_STEPS_OF_SIGMA = 1024


class UpdateNoise:
    """The noise of one bundle's updates."""

    def __init__(
        self,
        bundle_id: str,
        origin: NDArray[np.float32],
        scoring_width: int,
        epsilon: float,
        delta: float,
        clip_norm: float,
        key: bytes,
    ) -> None:
        """origin: (R,) float32, the representation of a user without history. scoring_width: of the bundle.
        clip_norm: the largest Euclidean distance from the origin that is published. key: the bytes of the key file.

        Raises InputError for an epsilon, a delta or a clip norm without a meaning.
        """
        self.clip_norm = clip_norm
        self.sigma = noise_scale(epsilon, delta, 2 * clip_norm * _ROUNDING)
        # A power of two, so that every multiple is exact.
        self.step = 2.0 ** math.floor(math.log2(self.sigma / _STEPS_OF_SIGMA))
        # The scale is part of the purpose: equal noise on two scales would tell the exact vector.
        purpose = f"thalweg noise of updates {float(epsilon)!r} {float(delta)!r} {float(clip_norm)!r}"
        self._key = derived_key(key, purpose.encode(), KEY_BYTES)
        # of key, epsilon, delta and clip norm
        self.fingerprint = derived_key(key, f"fingerprint of {purpose}".encode(), FINGERPRINT_BYTES).hex()
        self._bundle_id = bundle_id
        self._origin = origin
        self._width = scoring_width

    def published(
        self, user_ids: Sequence[str], sources: Sequence[str], representation: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(n, R) float32: what the updates of n users publish. sources: the id of each user's last applied record.

        The same users, sources and representations always give the same result. The representation is part of the
        name of a release: where a row is rebuilt with another result, equal noise would tell the exact difference.
        """
        exact = representation.astype("<f4", copy=False)
        names = [
            msgspec.msgpack.encode((self._bundle_id, user_id, source, row.tobytes()))
            for user_id, source, row in zip(user_ids, sources, exact, strict=True)
        ]
        origin = self._origin[: self._width]
        noisy = private_vectors(representation[:, : self._width] - origin, self.clip_norm, self.sigma, self._key, names)
        published = np.tile(self._origin, (len(representation), 1))
        published[:, : self._width] += np.round(noisy / self.step) * self.step
        return published
