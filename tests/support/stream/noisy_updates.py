"""What an update with noise must publish, computed from docs/private-vectors.md without any code of Thalweg."""

import hmac
import math
import struct
from hashlib import blake2b
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NORMAL = NormalDist()


class Noise(NamedTuple):
    """The settings of the noise."""

    epsilon: float
    delta: float
    clip_norm: float
    key: bytes

    def sigma(self) -> float:
        """The smallest sigma, by bisection. The sensitivity is twice the clip norm and a millionth."""
        low, high = 1e-6, 1e6
        for _ in range(200):
            mu = math.sqrt(low * high)
            e = self.epsilon
            delta = _cdf(mu / 2 - e / mu) - math.exp(e) * _cdf(-mu / 2 - e / mu)
            low, high = (mu, high) if delta <= self.delta else (low, mu)
        return 2 * self.clip_norm * 1.000001 / low

    def published(
        self,
        bundle_id: str,
        user_id: str,
        source: str,
        exact: NDArray[np.float32],
        origin: NDArray[np.float32],
        scoring_width: int,
    ) -> bytes:
        """The bytes of the field `representation` of a user whose row holds `exact`, (R,)."""
        numbers = f"thalweg noise of updates {self.epsilon!r} {self.delta!r} {self.clip_norm!r}".encode()
        key = hmac.digest(hmac.digest(bytes(32), self.key, "sha256"), numbers + b"\1", "sha256")  # RFC 5869
        key = blake2b(key).digest()
        name = b"\x94" + _text(bundle_id) + _text(user_id) + _text(source) + _binary(exact.astype("<f4").tobytes())
        draws = b"".join(
            blake2b(name, key=key, salt=block.to_bytes(4, "little")).digest() for block in range(scoring_width // 8 + 1)
        )
        z = [NORMAL.inv_cdf(((draw >> 12) + 0.5) / 2**52) for (draw,) in struct.iter_unpack("<Q", draws)][
            :scoring_width
        ]
        away = exact[:scoring_width] - origin[:scoring_width]
        norm = math.sqrt(sum(float(one) ** 2 for one in away))
        away = (away * (self.clip_norm / max(norm, self.clip_norm))).astype(np.float32)
        sigma = self.sigma()
        step = 2.0 ** math.floor(math.log2(sigma / 1024))
        found = origin.copy()
        for at in range(scoring_width):
            found[at] = origin[at] + round((float(away[at]) + sigma * z[at]) / step) * step
        return found.astype("<f4").tobytes()


def _cdf(x: float) -> float:
    """The normal distribution, also far below 0, where `NormalDist.cdf` gives 0."""
    return math.erfc(-x / math.sqrt(2)) / 2


def _text(value: str) -> bytes:
    """A text in MessagePack, below 256 bytes."""
    content = value.encode()
    return (bytes([0xA0 | len(content)]) if len(content) < 32 else bytes([0xD9, len(content)])) + content


def _binary(value: bytes) -> bytes:
    """Bytes in MessagePack."""
    return (bytes([0xC4, len(value)]) if len(value) < 256 else b"\xc5" + len(value).to_bytes(2, "big")) + value
