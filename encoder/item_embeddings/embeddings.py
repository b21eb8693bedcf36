"""The embeddings of items, and their preparation for a model. This module does no I/O and does not need torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError

# See docs/decisions.md#preparation-of-item-embeddings for these two numbers.
MAX_COMPONENTS = 64
LENGTH = 2.0  # root mean square of the length of a prepared embedding

SMALLEST_VARIANCE = 1e-6  # of a component that is kept, as a share of the variance of the first component
CHUNK_ROWS = 8_192


@dataclass(frozen=True)
class ItemEmbeddings:
    """The embeddings of M items by one source, for example by one text embedder."""

    name: str  # of the source
    items: list[str]  # (M,) distinct item ids
    vectors: NDArray[np.float32]  # (M, V) finite numbers

    @property
    def width(self) -> int:
        """V."""
        return int(self.vectors.shape[1])

    def rows(self, items: Sequence[str]) -> NDArray[np.int64]:
        """(n,) row of each item in `vectors`. The row of an item without an embedding is -1."""
        row_of = {item: row for row, item in enumerate(self.items)}
        return np.array([row_of.get(item, -1) for item in items], np.int64)

    def fingerprint(self) -> str:
        """The SHA-256 of the ids and the vectors."""
        digest = sha256("\n".join(self.items).encode())
        digest.update(np.ascontiguousarray(self.vectors).tobytes())
        return digest.hexdigest()


class Preparation(NamedTuple):
    """A map of the embeddings of one source to C principal components with the mean 0 and the usual length LENGTH.

    Embedders differ in their widths, in their means and in the sizes of their numbers. Prepared embeddings do not, so
    one learning rate suits all embedders. The components keep their sizes relative to each other.
    """

    mean: NDArray[np.float32]  # (V,)
    components: NDArray[np.float32]  # (V, C), 1 <= C <= MAX_COMPONENTS

    @classmethod
    def fit(cls, embeddings: ItemEmbeddings, items: Sequence[str]) -> "Preparation":
        """The preparation by the embeddings of the training items.

        Raises InputError when none of these items has an embedding, or when all embeddings are equal, because they
        would tell nothing.
        """
        vectors, rows = embeddings.vectors, embeddings.rows(items)
        rows = rows[rows >= 0]
        mean, covariance, largest = np.zeros(embeddings.width), np.zeros((embeddings.width, embeddings.width)), 0.0
        for part in _chunks(rows):
            mean += vectors[part].sum(axis=0, dtype=np.float64) / len(rows)
        for part in _chunks(rows):
            centered = vectors[part].astype(np.float64) - mean
            covariance += centered.T @ centered / len(rows)
            largest = max(largest, float(np.abs(vectors[part]).max()))
        variances, directions = np.linalg.eigh(covariance)
        variances, directions = variances[::-1][:MAX_COMPONENTS], directions[:, ::-1][:, :MAX_COMPONENTS]
        rounding = (float(np.finfo(np.float32).eps) * largest) ** 2
        kept = variances > max(SMALLEST_VARIANCE * variances[0], rounding)
        if not kept.any():
            raise InputError(
                f"item embeddings {embeddings.name!r}: {len(rows):,} of the {len(items):,} training items have "
                "embeddings, and these are all equal, so they tell nothing; check the file, or leave it out"
            )
        components = directions[:, kept] * (LENGTH / np.sqrt(variances[kept].sum()))
        return cls(mean.astype(np.float32), components.astype(np.float32))

    def apply(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(M, V) embeddings, (n,) rows of them -> (n, C) float32 prepared embeddings."""
        prepared = np.zeros((len(rows), self.components.shape[1]), np.float32)
        for begin, part in zip(range(0, len(rows), CHUNK_ROWS), _chunks(rows), strict=True):
            prepared[begin : begin + len(part)] = (vectors[part] - self.mean) @ self.components
        return prepared


def _chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Parts of the rows, so that no copy of all embeddings is in memory."""
    return (rows[begin : begin + CHUNK_ROWS] for begin in range(0, len(rows), CHUNK_ROWS))
