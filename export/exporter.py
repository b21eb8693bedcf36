"""Writes a bundle: the graphs, the tables beside them, the parity proof, and the manifest that seals them."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from encoder.commands.checkpoints import FILES as CHECKPOINT_FILES
from encoder.commands.checkpoints import IN_BUNDLE
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.model.user_model import UserModel
from export.graphs import predict_graph, step_graph
from export.graphs.heads import head_widths
from export.graphs.resident_states import read_graph, resident_step_graph, write_graph
from export.parity import check_parity
from export.runtime.bundle import FILES, FORMAT, GPU_FILES, MANIFEST, Bundle, Manifest, bundle_id, hash_files

CARRIED = tuple(f"{IN_BUNDLE}/{name}" for name in CHECKPOINT_FILES)


def export_model(
    model: UserModel,
    vocabulary: Vocabulary,
    out: Path | str,
    *,
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    checkpoint: Path | str | None = None,
    for_gpu: bool = False,
    in_float16: bool = False,
) -> Bundle:
    """Write `model` as a bundle into the folder `out`, in whole or not at all, and load it back.

    metrics, training: go into the manifest as they are, and so into the bundle's id; keep wall-clock times out of them.
    checkpoint: folder whose files the bundle carries, so that the model can learn on (`thalweg train --from`).
    for_gpu: also write the graphs of states that stay on a GPU, which repeat the model's tables.
    in_float16: have these rank in float16, and measure what that loses.
    Raises InputError where `out` holds something other than a bundle, BundleError where parity fails.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / MANIFEST).is_file():
        raise InputError(f"{out} exists and is not a bundle: name another folder")
    model.eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        draft = Path(temporary) / "bundle"
        draft.mkdir()
        _write_files(model, vocabulary, draft)
        if checkpoint is not None:
            (draft / IN_BUNDLE).mkdir()
            for name in CHECKPOINT_FILES:
                shutil.copyfile(Path(checkpoint) / name, draft / IN_BUNDLE / name)
        if for_gpu:
            _write_gpu_files(model, draft, in_float16)
        parity = check_parity(model, draft, in_float16=for_gpu and in_float16)
        manifest = Manifest(
            format=FORMAT,
            bundle_id="",
            cell=model.config.cell,
            state_width=model.state_width,
            representation_width=model.representation_width,
            items=model.config.items,
            actions=model.config.actions,
            features=model.config.features,
            parity=parity,
            metrics=metrics or {},
            training=training or {},
            files=hash_files(draft, FILES + (GPU_FILES if for_gpu else ()) + (() if checkpoint is None else CARRIED)),
            heads={} if model.heads is None else head_widths(model.heads),
        )
        manifest = msgspec.structs.replace(manifest, bundle_id=bundle_id(manifest))
        text = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2)
        (draft / MANIFEST).write_bytes(text + b"\n")
        if out.exists():
            shutil.rmtree(out)
        draft.replace(out)
    return Bundle.load(out)


def _write_files(model: UserModel, vocabulary: Vocabulary, path: Path) -> None:
    vectors = model.item_table().detach().numpy()
    beside = model.representation_width - model.config.width
    (path / "step.onnx").write_bytes(step_graph(model))
    (path / "predict.onnx").write_bytes(predict_graph(vectors[1:], model.heads, beside=beside))
    (path / "vocabulary.json").write_bytes(msgspec.json.encode(vocabulary))
    # As wide as representations: a product of the two is a score.
    np.save(path / "item_vectors.npy", np.pad(vectors, ((0, 0), (0, beside))))
    np.savez(
        path / "initial.npz",
        state=model.initial_state(1)[0].numpy(),
        representation=model.initial_representation(1)[0].detach().numpy(),
    )


def _write_gpu_files(model: UserModel, path: Path, in_float16: bool) -> None:
    vectors = model.item_table().detach().numpy()[1:]
    beside = model.representation_width - model.config.width
    (path / "gpu_step.onnx").write_bytes(resident_step_graph(model))
    predict = predict_graph(vectors, model.heads, beside=beside, is_for_gpu=True, in_float16=in_float16)
    (path / "gpu_predict.onnx").write_bytes(predict)
    (path / "gpu_read.onnx").write_bytes(read_graph(model))
    (path / "gpu_write.onnx").write_bytes(write_graph(model))
