"""The bundle: a content-addressed folder that holds an exported model.

Bundles are written by `export.exporter` and read here. This module does not need torch.

Files of a bundle folder:

    manifest.json        `Manifest` as JSON; `bundle_id` is a hash of everything else except the properties of graphs
    step.onnx            (item, action, gap_ms, features of the manifest, state) -> (next_state, representation); with
                         recent items also recent_items, rows of item_vectors.npy or -1, and recent_scores, which are
                         added to the dot products of these items; with purchase actions, a state begins with the
                         last items that were bought, 0 for an empty place
    predict.onnx         (query, item) -> rank; with heads also action_probability and time_mixture; a query is as of
                         `export.runtime.queries`, and the input is named representation without recent items
    vocabulary.json      {"items": [...], "actions": [...], "categories": [...], "brands": [...]}; position p holds
                         index p + 1, and index 0 is "unknown"
    item_vectors.npy     (N + 1, R) float32, row = item index; row 0 (unknown) is never ranked; zeros in the components
                         of a representation that do not score
    initial.npz          state (S,) float32 and representation (R,) float32 of a user without history
    checkpoint/          the checkpoint, to continue training (`thalweg train --from`); the manifest has its hashes,
                         but a worker does not read it

A bundle of a checkpoint that has counts of items in visits also has the counts and the features of items with which a
server makes hybrid scores (`encoder.metrics.hybrid.scores`). A worker does not read them:

    hybrid.npz           starts (N + 2,) int64, items (m,) int32, similarity (m,) float32: the companions of item i
                         have the entries starts[i] to starts[i + 1] - 1; category and brand (N + 1,) int32: indices in
                         vocabulary.json, 0 is unknown

A bundle that was exported for a GPU also has the graphs of `export.runtime.resident_states`: gpu_step.onnx,
gpu_predict.onnx, gpu_read.onnx and gpu_write.onnx.

README.md is a model card (`export.model_card`). The card is no part of the content that the id stands for.

Each graph says in its properties which bundle it belongs to (`export.graph_properties`).
"""

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.vocabulary import Vocabulary
from encoder.errors import BundleError
from encoder.metrics.hybrid.scores import HYBRID_FILE, Hybrid
from export.graph_properties import content_hash, serialized_properties
from export.runtime.queries import item_scores, joined_query, make_queries, recent_items

FORMAT = 1
GRAPH = ".onnx"  # how the name of a graph ends
MANIFEST = "manifest.json"
FILES = ("step.onnx", "predict.onnx", "vocabulary.json", "item_vectors.npy", "initial.npz")
GPU_FILES = ("gpu_step.onnx", "gpu_predict.onnx", "gpu_read.onnx", "gpu_write.onnx")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What manifest.json holds. Widths: S of a state, R of a representation, N items of the catalogue.

    The JSON leaves out fields that have their default, so that bundles from before a field was added keep their id.
    """

    format: int
    bundle_id: str
    cell: str
    state_width: int
    representation_width: int
    items: int
    actions: int
    parity: dict[str, Any]  # result of the parity check at the export: sequences, steps, tolerances, differences
    metrics: dict[str, Any]  # offline metrics on the validation split, and how they were computed
    training: dict[str, Any]  # settings of the training, and the fingerprint of its data
    files: dict[str, str]  # file name -> SHA-256, hexadecimal; of a graph without its properties
    heads: dict[str, int] = {}  # output of predict.onnx besides the rank -> number of its columns
    recent_places: int = 0  # K recent items, whose fields are the last 5 K numbers of a state; 0: none
    bought_places: int = 0  # items that the user bought last, which are the first numbers of a state; 0: none
    purchase_actions: tuple[str, ...] = ()  # the actions that buy an item
    # known action -> what to add to the logarithm of its probability where a reader names one action; often empty
    action_offsets: dict[str, float] = {}
    hybrid: dict[str, dict[str, float]] = {}  # scenario -> part of a hybrid score -> weight; {} without hybrid.npz
    # of a bundle in the vector space of an older one: its bundle_id, and what `export.alignment` tells
    aligned_to: dict[str, Any] = {}
    graph_properties: dict[str, str] = {}  # of each graph beside the bundle's id: `export.graph_properties`
    features: tuple[str, ...] = ()  # of encoder.data.features.EVENT_FEATURES: inputs besides item, action and gap


class Bundle:
    """A bundle that was loaded from its folder and checked."""

    def __init__(self, path: Path, manifest: Manifest, vocabulary: Vocabulary) -> None:
        self.path = path
        self.manifest = manifest
        self.vocabulary = vocabulary
        self.item_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.items, 1)}
        self.action_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.actions, 1)}
        self.category_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.categories, 1)}
        self.brand_index: dict[str, int] = {name: i for i, name in enumerate(vocabulary.brands, 1)}
        # Mapped, so that the vectors take no memory of a worker, which reads them once, to register them.
        self.item_vectors: NDArray[np.float32] = np.load(path / "item_vectors.npy", mmap_mode="r")
        with np.load(path / "initial.npz") as initial:
            self.initial_state: NDArray[np.float32] = initial["state"]
            self.initial_representation: NDArray[np.float32] = initial["representation"]

    @property
    def features(self) -> tuple[str, ...]:
        """The inputs of a step besides item, action and gap."""
        return self.manifest.features

    @property
    def query_width(self) -> int:
        """The width of a query, as of `queries`."""
        return self.manifest.representation_width + 2 * self.manifest.recent_places

    def queries(self, representation: NDArray[np.float32], state: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, R) representations and (n, S) states of the same moment -> (n, query_width) float32 queries."""
        return make_queries(representation, state, self.manifest.recent_places)

    def joined_query(
        self, representation: NDArray[np.float32], item: NDArray[np.int32], added: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The (query_width,) query of one user whose parts another program may have written.

        item, added: (K,) recent items, and what is added to their scores, left out where the bundle has no recent
        items. Raises ValueError where the parts do not fit the bundle.
        """
        width, places = self.manifest.representation_width, self.manifest.recent_places
        item, added = (item, added) if places else (item[:0], added[:0])
        found = len(representation), len(item), len(added)
        if found != (width, places, places):
            raise ValueError(f"{found} numbers for a representation, recent items and scores, not {width} and {places}")
        if item.max(initial=0) > len(self.item_index):
            raise ValueError(f"the recent item {item.max()} of {len(self.item_index)} items")
        return joined_query(representation, item, added)

    def scores(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, query_width) queries -> (n, N) float32 scores of all items: column p belongs to item p + 1."""
        return item_scores(query, self.item_vectors, self.manifest.recent_places)

    def scores_of(self, query: NDArray[np.float32], item: int) -> NDArray[np.float64]:
        """(n, query_width) queries, the index of an item -> (n,) float64 scores of the item."""
        width = self.manifest.representation_width
        scores: NDArray[np.float64] = query[:, :width].astype(np.float64) @ self.item_vectors[item].astype(np.float64)
        recent, added = recent_items(query, self.manifest.recent_places)
        scores += (added * (recent == item)).sum(axis=1)
        return scores

    @property
    def initial_query(self) -> NDArray[np.float32]:
        """(query_width,) float32 of a user without history."""
        query: NDArray[np.float32] = self.queries(self.initial_representation[None], self.initial_state[None])[0]
        return query

    @property
    def bundle_id(self) -> str:
        return self.manifest.bundle_id

    @cached_property
    def scoring_width(self) -> int:
        """The number of the first components of a representation that change scores.

        Counters end a representation, and item vectors have zeros there: docs/contracts.md#representations.
        """
        return int(np.flatnonzero(np.asarray(self.item_vectors).any(axis=0)).max(initial=0)) + 1

    @cached_property
    def hybrid(self) -> Hybrid | None:
        """What hybrid scores have beside the model's part, read at the first use; None without the file."""
        if HYBRID_FILE not in self.manifest.files:
            return None
        with np.load(self.path / HYBRID_FILE) as arrays:
            return Hybrid.from_arrays(arrays)

    @property
    def has_gpu_graphs(self) -> bool:
        """Whether the bundle has the graphs of states that stay on a GPU."""
        return GPU_FILES[0] in self.manifest.files

    @property
    def gpu_ranks_in_float16(self) -> bool:
        """Whether the graphs for a GPU rank in float16. `Manifest.parity` then tells the loss under `half_ranks`."""
        return "half_ranks" in self.manifest.parity

    @classmethod
    def load(cls, path: Path | str) -> "Bundle":
        """Load the bundle in this folder. Raises BundleError where a file is missing, unreadable or changed.

        `Bundle.path` has no symbolic link, which may name another folder when a file is opened later.
        """
        given, path = path, Path(os.path.realpath(path))
        try:
            manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
        except (FileNotFoundError, NotADirectoryError):
            raise BundleError(f"no bundle at {given}: {MANIFEST} is missing; make one with `thalweg export`") from None
        except OSError as error:
            raise BundleError(_unreadable(path, MANIFEST, error)) from None
        except msgspec.MsgspecError as error:
            raise BundleError(f"{path / MANIFEST} is not a bundle manifest: {error}") from None
        if manifest.format != FORMAT:
            raise BundleError(
                f"{path} has bundle format {manifest.format}, this version reads {FORMAT}: export the model again"
            )
        has_gpu_graphs = any(name in manifest.files for name in GPU_FILES)
        names = FILES + (GPU_FILES if has_gpu_graphs else ())
        names += (HYBRID_FILE,) if HYBRID_FILE in manifest.files else ()
        properties = serialized_properties(manifest.graph_properties, manifest.bundle_id)
        actual = hash_files(path, names, properties)  # not those of the checkpoint
        changed = sorted(name for name in actual if manifest.files.get(name) != actual[name])
        if changed or manifest.bundle_id != bundle_id(manifest):
            what = ", ".join(changed) or MANIFEST
            raise BundleError(f"bundle {path} was changed after its export ({what} does not match): export it again")
        vocabulary = msgspec.json.decode((path / "vocabulary.json").read_bytes(), type=Vocabulary)
        return cls(path, manifest, vocabulary)


def hash_files(path: Path, names: tuple[str, ...] = FILES, properties: bytes = b"") -> dict[str, str]:
    """The SHA-256 of these files of a bundle folder, hexadecimal. properties: those behind the content of graphs.

    Raises BundleError where a file is missing or cannot be read.
    """
    hashes = {}
    for name in names:
        try:
            hashes[name] = content_hash(path / name, properties if name.endswith(GRAPH) else b"")
        except FileNotFoundError:
            raise BundleError(f"bundle {path} is incomplete: {name} is missing; export it again") from None
        except OSError as error:
            raise BundleError(_unreadable(path, name, error)) from None
    return hashes


def _unreadable(path: Path, name: str, error: OSError) -> str:
    return f"bundle {path}: {name} cannot be read: {error.strerror}; check the owner and the rights of the folder"


def bundle_id(manifest: Manifest) -> str:
    """`<cell>-<12 hex digits>`, a hash of the manifest without its id. The manifest holds the hashes of all files."""
    content = msgspec.to_builtins(manifest)
    content["bundle_id"] = ""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{manifest.cell}-{digest[:12]}"
