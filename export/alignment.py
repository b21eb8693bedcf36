"""The rotation that brings a new model into the vector space of an older bundle.

Two trainings give vectors that mean the same and stand elsewhere, because scores are dot products, which a rotation of
all vectors does not change. So a consumer that learnt from the vectors of one bundle cannot read those of the next. The
orthogonal Procrustes problem (Schoenemann 1966, https://doi.org/10.1007/BF02289451) has the rotation that brings one
set of vectors closest to another. The two sets are the representations of the same histories, which are drawn from the
items that both know. Representations align far better than the vectors of the items do:
docs/decisions.md#an-alignment-by-histories-of-shared-items
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.features import PRICE, Features
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.model.rotation import rotated
from encoder.model.user_model import UserModel
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper

HISTORIES, EVENTS = 1_000, 10  # histories of so many events; more change the rotation little
GAP_MS = 30_000
SEED = 0  # of the histories, so that the same model and bundle give the same bytes

Vectors = NDArray[np.float64]


class Alignment(NamedTuple):
    """A model in the space of an older bundle."""

    model: UserModel
    told: dict[str, Any]  # what the manifest tells: the bundle, and how close the vectors are


class _Shared(NamedTuple):
    """What the model and the bundle both know: an index of the model, and one of the bundle."""

    items: NDArray[np.int64]  # (n, 2)
    action: tuple[int, int]  # of the most frequent action; the unknown action where the two share none


def align(model: UserModel, vocabulary: Vocabulary, older: Bundle) -> Alignment:
    """Rotate a copy of the model so that its representations come closest to those of the older bundle.

    Raises InputError where the vectors have other widths, where the two share too few items, and where the bundle is of
    the same model.
    """
    width = model.config.width
    if older.manifest.representation_width != model.representation_width or older.scoring_width > width:
        raise InputError(
            f"--aligned-to {older.path}: representations of {older.bundle_id} have "
            f"{older.manifest.representation_width} components, of which {older.scoring_width} score, and those of the "
            f"model have {model.representation_width}, of which {width} score: train with the same settings to align"
        )
    shared = _shared(vocabulary, older)
    if len(shared.items) < width:
        raise InputError(
            f"--aligned-to {older.path}: the model shares {len(shared.items)} items with {older.bundle_id}, and a "
            f"rotation of {width} components needs {width}: align to a bundle of the same catalogue"
        )
    new_items = model.item_table().detach().numpy()[shared.items[:, 0]]
    old_items = older.item_vectors[shared.items[:, 1], :width]
    if np.array_equal(new_items, old_items):
        raise InputError(
            f"--aligned-to {older.path}: {older.bundle_id} has the vectors of this model already: leave the option out"
        )
    new, old = _representations(model, older, shared)
    rotation = procrustes(new, old)
    told = {
        "bundle_id": older.bundle_id,
        "shared_items": len(shared.items),
        "cosine_before": _mean_cosine(new, old),
        "cosine": _mean_cosine(new @ rotation.T, old),
        # the length of what differs, relative to the length of the older vectors
        "residual": _rounded(np.linalg.norm(new @ rotation.T - old) / np.linalg.norm(old)),
        "item_residual": _rounded(
            np.linalg.norm(new_items @ rotation.T.astype(np.float32) - old_items) / np.linalg.norm(old_items)
        ),
    }
    return Alignment(rotated(model, torch.from_numpy(rotation)), told)


def procrustes(new: Vectors, old: Vectors) -> Vectors:
    """(n, D) new and (n, D) old vectors -> (D, D) the orthogonal R for which the sum of |R new - old|^2 is least.

    R may also reflect: a reflection keeps dot products as well.
    """
    left, _, right = np.linalg.svd(old.T @ new)
    rotation: Vectors = left @ right
    return rotation


def _shared(vocabulary: Vocabulary, older: Bundle) -> _Shared:
    items, actions = (
        [(index, known[name]) for index, name in enumerate(names, 1) if name in known]
        for names, known in ((vocabulary.items, older.item_index), (vocabulary.actions, older.action_index))
    )
    return _Shared(np.array(items, np.int64).reshape(-1, 2), actions[0] if actions else (0, 0))


@torch.no_grad()
def _representations(model: UserModel, older: Bundle, shared: _Shared) -> tuple[Vectors, Vectors]:
    """(n, D) representations by the model, and by the older bundle, after each event of the same random histories."""
    rng, shape, width = np.random.default_rng(SEED), (HISTORIES, EVENTS), model.config.width
    item = shared.items[rng.integers(0, len(shared.items), shape)]  # (histories, events, 2)
    of_model, of_bundle = (np.full(shape, action) for action in shared.action)
    gap_ms = np.full(shape, GAP_MS)
    gap_ms[:, 0] = -1
    events = StepInputs(item[..., 0], of_model, gap_ms, _no_features(model.config.features))
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in events.by_name().items()}
    items, actions, gaps_ms = (tensors.pop(name) for name in ("item", "action", "gap_ms"))
    new, _ = model.sequence(items, actions, gaps_ms, model.initial_recurrent_state(HISTORIES), tensors)

    stepper, old = Stepper(older, on_cpu=True), np.empty((*shape, width))
    state = np.tile(older.initial_state, (HISTORIES, 1))
    features = _no_features(older.features)
    for event in range(EVENTS):
        of_event_features = {name: values[:, event] for name, values in features.items()}
        inputs = StepInputs(item[:, event, 1], of_bundle[:, event], gap_ms[:, event], of_event_features)
        state, representation = stepper.step(inputs, state)
        old[:, event] = representation[:, :width]
    return new[..., :width].double().numpy().reshape(-1, width), old.reshape(-1, width)


def _no_features(names: tuple[str, ...]) -> Features:
    """Features of events without a value; the content of a known item is that of its item."""
    shape = (HISTORIES, EVENTS)
    return {name: np.full(shape, np.nan, np.float32) if name == PRICE else np.zeros(shape, np.int64) for name in names}


def _mean_cosine(one: Vectors, other: Vectors) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return _rounded(((one * other).sum(axis=1) / lengths).mean())


def _rounded(value: np.floating[Any]) -> float:
    return float(f"{value:.4g}")
