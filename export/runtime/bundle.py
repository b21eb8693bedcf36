"""The bundle: a content-addressed folder that is the model.

Free of torch: the live system reads bundles through this module, `export.graphs` writes them.

Layout of a bundle folder:

    manifest.json        the Manifest below; `bundle_id` is a hash of everything else
    step.onnx            (item, action, gap_ms, features of the manifest, state) -> (next_state, representation)
    predict.onnx         (representation, item) -> rank; with heads also action_probability and time_mixture
    vocabulary.json      {"items": [...], "actions": [...], "categories": [...], "brands": [...]}; position p holds
                         index p + 1, index 0 is "unknown"
    item_vectors.npy     (N + 1, R) float32, row = item index, row 0 (unknown) is never ranked; zeros where a
                         representation holds what does not score
    initial.npz          state (S,) float32 and representation (R,) float32 of a user without history
    checkpoint/          what the model was exported from, to learn on (`thalweg train --from`): in the manifest, too,
                         but never read by what serves the bundle

and, exported for a GPU, the graphs of `export.runtime.resident_states`: gpu_step.onnx, gpu_predict.onnx, gpu_read.onnx and
gpu_write.onnx.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.vocabulary import Vocabulary
from encoder.errors import BundleError

FORMAT = 1
MANIFEST = "manifest.json"
FILES = ("step.onnx", "predict.onnx", "vocabulary.json", "item_vectors.npy", "initial.npz")
GPU_FILES = ("gpu_step.onnx", "gpu_predict.onnx", "gpu_read.onnx", "gpu_write.onnx")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a bundle says of itself. Widths: S state, R representation, N items of the catalogue.

    Defaults are left out, so that a bundle from before a field keeps its id.
    """

    format: int
    bundle_id: str
    cell: str
    state_width: int
    representation_width: int
    items: int
    actions: int
    parity: dict[str, Any]  # result of the parity proof at export: sequences, steps, tolerances, largest differences
    metrics: dict[str, Any]  # offline metrics on the validation split, with their protocol
    training: dict[str, Any]  # settings and data fingerprint of the training run
    files: dict[str, str]  # file name -> SHA-256, hexadecimal
    heads: dict[str, int] = {}  # beside the rank: output of predict.onnx -> its columns
    features: tuple[str, ...] = ()  # inputs of a step besides item, action and gap, of encoder.features.EVENT_FEATURES


class Bundle:
    """A loaded, checked bundle. Raises BundleError where a file is missing or its content has changed."""

    def __init__(self, path: Path, manifest: Manifest, vocabulary: Vocabulary) -> None:
        self.path = path
        self.manifest = manifest
        self.vocabulary = vocabulary
        self.item_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.items, 1)}
        self.action_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.actions, 1)}
        self.category_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.categories, 1)}
        self.brand_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.brands, 1)}
        # Mapped: read once, when item vectors are registered, and no part of a worker's own memory.
        self.item_vectors: NDArray[np.float32] = np.load(path / "item_vectors.npy", mmap_mode="r")
        with np.load(path / "initial.npz") as initial:
            self.initial_state: NDArray[np.float32] = initial["state"]
            self.initial_representation: NDArray[np.float32] = initial["representation"]

    @property
    def features(self) -> tuple[str, ...]:
        """Inputs of a step besides item, action and gap."""
        return self.manifest.features

    @property
    def bundle_id(self) -> str:
        return self.manifest.bundle_id

    @property
    def has_gpu_graphs(self) -> bool:
        """Whether it was exported with the graphs of states that stay on a GPU."""
        return GPU_FILES[0] in self.manifest.files

    @property
    def gpu_ranks_in_float16(self) -> bool:
        """Whether its graphs for a GPU rank in float16: not exactly, see `half_ranks` of the manifest's parity."""
        return "half_ranks" in self.manifest.parity

    @classmethod
    def load(cls, path: Path | str) -> "Bundle":
        path = Path(path)
        try:
            manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise BundleError(f"no bundle at {path}: {MANIFEST} is missing; make one with `thalweg export`") from None
        except msgspec.MsgspecError as error:
            raise BundleError(f"{path / MANIFEST} is not a bundle manifest: {error}") from None
        if manifest.format != FORMAT:
            raise BundleError(
                f"{path} has bundle format {manifest.format}, this version reads {FORMAT}: export the model again"
            )
        has_gpu_graphs = any(name in manifest.files for name in GPU_FILES)
        actual = hash_files(path, FILES + GPU_FILES if has_gpu_graphs else FILES)
        changed = sorted(name for name in actual if manifest.files.get(name) != actual[name])
        if changed or manifest.bundle_id != bundle_id(manifest):
            what = ", ".join(changed) or MANIFEST
            raise BundleError(f"bundle {path} was changed after its export ({what} does not match): export it again")
        vocabulary = msgspec.json.decode((path / "vocabulary.json").read_bytes(), type=Vocabulary)
        return cls(path, manifest, vocabulary)


def hash_files(path: Path, names: tuple[str, ...] = FILES) -> dict[str, str]:
    """SHA-256 of each of these files of a bundle. Raises BundleError where one is missing."""
    hashes = {}
    for name in names:
        try:
            with (path / name).open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise BundleError(f"bundle {path} is incomplete: {name} is missing; export it again") from None
    return hashes


def bundle_id(manifest: Manifest) -> str:
    """`<cell>-<12 hex digits>`: a hash of the manifest without its id, which holds the hash of every file."""
    content = msgspec.to_builtins(manifest)
    content["bundle_id"] = ""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{manifest.cell}-{digest[:12]}"
