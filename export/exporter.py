"""Writes a bundle: the graphs, the tables that belong to them, the result of the parity check, and the manifest."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from encoder.data.vocabulary import Vocabulary
from encoder.errors import BundleError
from encoder.metrics.followers.companions import Companions
from encoder.metrics.hybrid.scores import HYBRID_FILE, WEIGHTS
from encoder.model.user_model import UserModel
from encoder.training.checkpoints.checkpoint_files import BUNDLE_SUBFOLDER, CHECKPOINT_FILES
from export.alignment import align
from export.bundle_folder import check_out, put_in_place
from export.graph_properties import serialized_properties
from export.graphs.bought_items import bought_places, exported_width
from export.graphs.builder import OPSET
from export.graphs.heads import head_widths
from export.graphs.predict import FLOAT_INTEGERS, predict_graph
from export.graphs.resident_states import read_graph, resident_step_graph, write_graph
from export.graphs.step import step_graph
from export.model_card import MODEL_CARD, model_card
from export.parity import check_parity, recent_places
from export.purchases import purchase_indices
from export.runtime.bundle import FILES, FORMAT, GPU_FILES, GRAPH, MANIFEST, Bundle, Manifest, bundle_id, hash_files

CHECKPOINT_IN_BUNDLE = tuple(f"{BUNDLE_SUBFOLDER}/{name}" for name in CHECKPOINT_FILES)


def export_model(
    model: UserModel,
    vocabulary: Vocabulary,
    out: Path | str,
    *,
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    action_offsets: Sequence[float] = (),
    purchases: Sequence[str] | None = None,
    checkpoint: Path | str | None = None,
    companions: Companions | None = None,
    hybrid_weights: Mapping[str, Mapping[str, float]] = WEIGHTS,
    for_gpu: bool = False,
    in_float16: bool = False,
    aligned_to: Bundle | None = None,
    overwrite: bool = True,
) -> Bundle:
    """Write `model` as a bundle into the folder `out`, completely or not at all, and load it from there.

    metrics, training: go into the manifest as they are, and so into the bundle's id. They must not hold wall-clock
    times, which would give every export another id. action_offsets: those of the known actions, or none. purchases: the
    actions that buy an item, by default those with a name of `export.purchases.KNOWN_NAMES`. checkpoint: folder whose
    files the bundle carries, so that the training can continue (`thalweg train --from`). companions: for hybrid scores,
    or None. hybrid_weights: scenario -> part -> weight. for_gpu: also write the graphs of states that stay on a GPU,
    which repeat the model's tables. in_float16: these graphs rank in float16, and the manifest tells the loss.
    aligned_to: the bundle whose vector space the new one gets. overwrite: replace another bundle in `out`.

    Raises InputError where `out` must stay as it is, where the model does not know a named action, and where it cannot
    be aligned. Raises BundleError where the parity check fails.
    """
    out = Path(out)
    bought = purchase_indices(vocabulary.actions, purchases)
    _check_outputs(model, bought, out)
    model, more_fields = _aligned(unaligned := model.eval(), vocabulary, aligned_to)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        draft = Path(temporary) / "bundle"
        draft.mkdir()
        names = _write_files(model, vocabulary, bought, draft) + _copy_checkpoint(checkpoint, draft)
        if for_gpu:
            names += _write_gpu_files(model, bought, draft, in_float16)
        more_fields |= _of_actions(model, vocabulary.actions, action_offsets, bought)
        names += _write_hybrid_file(model, companions, draft)
        if companions is not None:
            more_fields["hybrid"] = {scenario: dict(parts) for scenario, parts in hybrid_weights.items()}
        is_half, before = for_gpu and in_float16, unaligned if aligned_to else None
        parity = check_parity(model, draft, purchases=bought, in_float16=is_half, unaligned=before)
        manifest = _manifest(model, more_fields, parity, metrics or {}, training or {}, hash_files(draft, names))
        put_in_place(draft, out, _write_manifest(manifest, draft), overwrite)
    return Bundle.load(out)


def _aligned(model: UserModel, vocabulary: Vocabulary, older: Bundle | None) -> tuple[UserModel, dict[str, Any]]:
    """The model in the space of the older bundle, and the manifest's field about it; without a bundle, the model."""
    if older is None:
        return model, {}
    alignment = align(model, vocabulary, older)
    return alignment.model, {"aligned_to": alignment.told}


def _check_outputs(model: UserModel, purchases: Sequence[int], out: Path) -> None:
    """Raise InputError where `out` holds something else than a bundle, and BundleError where states cannot hold the
    numbers of the model's items.
    """
    check_out(out)
    if (model.recent is not None or purchases) and model.config.items > FLOAT_INTEGERS:
        raise BundleError(
            f"{model.config.items} items: a state names items in float32, which has whole numbers up to "
            f"{FLOAT_INTEGERS}; train on fewer items, with a larger --min-support"
        )


def _copy_checkpoint(checkpoint: Path | str | None, folder: Path) -> tuple[str, ...]:
    if checkpoint is None:
        return ()
    (folder / BUNDLE_SUBFOLDER).mkdir()
    for name in CHECKPOINT_FILES:
        shutil.copyfile(Path(checkpoint) / name, folder / BUNDLE_SUBFOLDER / name)
    return CHECKPOINT_IN_BUNDLE


def _manifest(
    model: UserModel,
    more_fields: dict[str, Any],
    parity: dict[str, Any],
    metrics: dict[str, Any],
    training: dict[str, Any],
    files: dict[str, str],
) -> Manifest:
    return Manifest(
        format=FORMAT,
        bundle_id="",
        cell=model.config.cell,
        representation_width=model.representation_width,
        items=model.config.items,
        actions=model.config.actions,
        features=model.config.features,
        parity=parity,
        metrics=metrics,
        training=training,
        files=files,
        recent_places=recent_places(model),
        heads={} if model.heads is None else head_widths(model.heads),
        graph_properties=_graph_properties(parity, training),
        **more_fields,
    )


def _graph_properties(parity: dict[str, Any], training: dict[str, Any]) -> dict[str, str]:
    """What each graph says beside the id of its bundle, so that a graph that was taken from its bundle can be judged.

    training: as of `export_model`. The source is the SHA-256 of the training log, as the checkpoint has it.
    """
    source = training.get("data", {}).get("sha256")
    return {
        "thalweg.opset": str(OPSET),
        "thalweg.parity": msgspec.json.encode(parity, order="deterministic").decode(),
        **({"thalweg.source": f"log of events, SHA-256 {source}"} if source else {}),
    }


def _of_actions(
    model: UserModel, actions: Sequence[str], offsets: Sequence[float], purchases: Sequence[int]
) -> dict[str, Any]:
    """The fields of the manifest that depend on what the actions are."""
    return {
        "action_offsets": dict(zip(actions, offsets, strict=True)) if offsets else {},
        "state_width": exported_width(model, purchases),
        "bought_places": bought_places(purchases),
        "purchase_actions": tuple(actions[index - 1] for index in purchases),
    }


def _write_manifest(manifest: Manifest, folder: Path) -> str:
    """Write the manifest with the id of its bundle, the properties of the graphs and the model card; return the id."""
    manifest = msgspec.structs.replace(manifest, bundle_id=bundle_id(manifest))
    properties = serialized_properties(manifest.graph_properties, manifest.bundle_id)
    for name in manifest.files:
        if name.endswith(GRAPH):
            with (folder / name).open("ab") as graph:
                graph.write(properties)
    text = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")
    (folder / MODEL_CARD).write_text(model_card(manifest), encoding="utf-8")
    return manifest.bundle_id


def _write_files(model: UserModel, vocabulary: Vocabulary, purchases: Sequence[int], folder: Path) -> tuple[str, ...]:
    """Write the files of every bundle except the manifest, and return their names."""
    vectors = model.item_table().detach().numpy()
    unscored_width = model.representation_width - model.config.width
    (folder / "step.onnx").write_bytes(step_graph(model, purchases))
    predict = predict_graph(vectors[1:], model.heads, unscored_width=unscored_width, places=recent_places(model))
    (folder / "predict.onnx").write_bytes(predict)
    (folder / "vocabulary.json").write_bytes(msgspec.json.encode(vocabulary))
    # With zeros, the vectors are as wide as representations, so that the product of both is a score.
    np.save(folder / "item_vectors.npy", np.pad(vectors, ((0, 0), (0, unscored_width))))
    np.savez(
        folder / "initial.npz",
        state=np.pad(model.initial_state(1)[0].numpy(), (bought_places(purchases), 0)),
        representation=model.initial_representation(1)[0].detach().numpy(),
    )
    return FILES


def _write_hybrid_file(model: UserModel, companions: Companions | None, folder: Path) -> tuple[str, ...]:
    """Write what `encoder.metrics.hybrid.scores` reads, where the checkpoint has counts."""
    if companions is None:
        return ()
    category, brand = model.category_and_brand()
    np.savez(
        folder / HYBRID_FILE,
        starts=companions.starts,
        items=companions.items,
        similarity=companions.similarities(),
        category=category,
        brand=brand,
    )
    return (HYBRID_FILE,)


def _write_gpu_files(model: UserModel, purchases: Sequence[int], folder: Path, in_float16: bool) -> tuple[str, ...]:
    """Write the graphs of states that stay on a GPU."""
    vectors = model.item_table().detach().numpy()[1:]
    predict = predict_graph(
        vectors,
        model.heads,
        unscored_width=model.representation_width - model.config.width,
        places=recent_places(model),
        is_for_gpu=True,
        in_float16=in_float16,
    )
    (folder / "gpu_step.onnx").write_bytes(resident_step_graph(model, purchases))
    (folder / "gpu_predict.onnx").write_bytes(predict)
    (folder / "gpu_read.onnx").write_bytes(read_graph(model, purchases))
    (folder / "gpu_write.onnx").write_bytes(write_graph(model, purchases))
    return GPU_FILES
