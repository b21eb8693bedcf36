"""The rotation that brings a new model into the vector space of an older bundle.

Two trainings give vectors that mean the same and stand elsewhere, because scores are dot products, which a rotation of
all vectors does not change. So a consumer that learnt from the vectors of one bundle cannot read those of the next. The
orthogonal Procrustes problem (Schoenemann 1966, https://doi.org/10.1007/BF02289451) has the rotation that brings the
vectors of shared items closest to the older ones.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.model.rotation import rotated
from encoder.model.user_model import UserModel
from export.runtime.bundle import Bundle

# The first component holds the popularity of an item. It keeps its place, because `export.runtime.pre_scores` counts on
# it, and because trainings agree about it: docs/decisions.md#a-rotation-that-leaves-popularity-in-its-place
KEPT = 1


class Alignment(NamedTuple):
    """A model in the space of an older bundle."""

    model: UserModel
    told: dict[str, Any]  # what the manifest tells: the bundle, and how close the vectors of shared items are


def align(model: UserModel, vocabulary: Vocabulary, older: Bundle) -> Alignment:
    """Rotate a copy of the model so that the vectors of its items come closest to those of the older bundle.

    Every shared item counts the same. Raises InputError where the vectors have other widths, where the two share too
    few items, and where the bundle is of the same model.
    """
    width = model.config.width
    if older.manifest.representation_width != model.representation_width or older.scoring_width > width:
        raise InputError(
            f"--aligned-to {older.path}: representations of {older.bundle_id} have "
            f"{older.manifest.representation_width} components, of which {older.scoring_width} score, and those of the "
            f"model have {model.representation_width}, of which {width} score: train with the same settings to align"
        )
    pairs = np.array([(place, older.item_index.get(item, 0)) for place, item in enumerate(vocabulary.items, 1)])
    pairs = pairs[pairs[:, 1] > 0]
    if len(pairs) < width:
        raise InputError(
            f"--aligned-to {older.path}: the model shares {len(pairs)} items with {older.bundle_id}, and a rotation of "
            f"{width} components needs {width}: align to a bundle of the same catalogue"
        )
    new = model.item_table().detach().double().numpy()[pairs[:, 0]]
    old = older.item_vectors[pairs[:, 1], :width].astype(np.float64)
    if np.array_equal(new, old):
        raise InputError(
            f"--aligned-to {older.path}: {older.bundle_id} has the vectors of this model already: leave the option out"
        )
    rotation = procrustes(new, old)
    told = {
        "bundle_id": older.bundle_id,
        "shared_items": len(pairs),
        # the length of what differs, relative to the length of the older vectors
        "residual_before": _rounded(np.linalg.norm(new - old) / np.linalg.norm(old)),
        "residual": _rounded(np.linalg.norm(new @ rotation.T - old) / np.linalg.norm(old)),
    }
    return Alignment(rotated(model, torch.from_numpy(rotation)), told)


def procrustes(new: NDArray[np.float64], old: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, D) new and (n, D) old vectors -> (D, D) the orthogonal R for which the sum of |R new - old|^2 is least.

    R keeps the first component. R may also reflect: a reflection keeps dot products as well.
    """
    rotation = np.eye(new.shape[1])
    left, _, right = np.linalg.svd(old[:, KEPT:].T @ new[:, KEPT:])
    rotation[KEPT:, KEPT:] = left @ right
    return rotation


def _rounded(value: np.floating[Any]) -> float:
    return float(f"{value:.4g}")
