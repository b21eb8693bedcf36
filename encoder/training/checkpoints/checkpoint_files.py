"""The files of a checkpoint, in a folder of their own or inside a bundle. This module does not load torch."""

from hashlib import sha256
from pathlib import Path

import msgspec

from encoder.errors import InputError
from encoder.training.settings import TrainingSettings

CHECKPOINT_FILES = ("checkpoint.json", "weights.pt", "baselines.npz")
BUNDLE_SUBFOLDER = "checkpoint"  # the folder inside a bundle with the files of the bundle's checkpoint


class _Manifest(msgspec.Struct, frozen=True):
    """The part of a bundle's manifest.json that this module needs."""

    files: dict[str, str]  # path in the bundle -> SHA-256


class _Shape(msgspec.Struct, frozen=True):
    counters: bool = False
    recent_items: bool = False


class _Description(msgspec.Struct, frozen=True):
    """The part of checkpoint.json that this module needs."""

    settings: TrainingSettings
    model: _Shape


def check_checkpoint(path: Path | str, for_bundle: str = "") -> None:
    """Raise InputError when `path` has no checkpoint.

    A command calls this function before it loads torch, which takes seconds. for_bundle: another remedy for the error
    message when `path` is a bundle.
    """
    path = Path(path)
    if (path / "checkpoint.json").is_file():
        return
    if not (path / "manifest.json").is_file():
        raise InputError(f"no checkpoint at {path}: checkpoint.json is missing; make one with `thalweg train`")
    inside = path / BUNDLE_SUBFOLDER
    remedy = (
        f"name the checkpoint inside the bundle, {inside}"
        if inside.is_dir()
        else "name the checkpoint from which the bundle was exported"
    )
    raise InputError(f"{path} is a bundle, not a checkpoint: {remedy}{for_bundle and f', or {for_bundle}'}")


def checkpoint_folder(path: Path | str) -> Path:
    """The folder of the checkpoint at `path`, which is a checkpoint or a bundle with a checkpoint inside.

    Raises InputError when there is no checkpoint, and when the checkpoint inside a bundle was changed.
    """
    path = Path(path)
    if not (path / "manifest.json").is_file():
        check_checkpoint(path)
        return path
    if not (path / BUNDLE_SUBFOLDER).is_dir():
        raise InputError(
            f"the bundle {path} has no checkpoint inside to continue from: it was exported with --without-checkpoint "
            "or by an old version; name the checkpoint folder from which it was exported, or train a new model and "
            "export it"
        )
    check_bundled_checkpoint(path)
    return path / BUNDLE_SUBFOLDER


def check_bundled_checkpoint(bundle: Path) -> None:
    """Raise InputError when a file of the checkpoint inside a bundle is missing or differs from the manifest."""
    digests = msgspec.json.decode((bundle / "manifest.json").read_bytes(), type=_Manifest).files
    for name in CHECKPOINT_FILES:
        path = bundle / BUNDLE_SUBFOLDER / name
        if not path.is_file() or sha256(path.read_bytes()).hexdigest() != digests.get(f"{BUNDLE_SUBFOLDER}/{name}"):
            raise InputError(f"{path} is missing or was changed after the bundle's export: export it again")


def trained_settings(folder: Path) -> TrainingSettings:
    """The settings with which a checkpoint was trained. Raises InputError when they cannot be read."""
    try:
        description = msgspec.json.decode((folder / "checkpoint.json").read_bytes(), type=_Description)
        # A checkpoint from before there were counters or recent items has none, although they are the default now.
        # Counted vectors came with recent items.
        model = description.model
        return msgspec.structs.replace(
            description.settings,
            counters=model.counters,
            recent_items=model.recent_items,
            counted_vectors=description.settings.counted_vectors and model.recent_items,
        )
    except msgspec.MsgspecError as error:
        raise InputError(f"{folder} is not a readable checkpoint: {error}; train it again") from None
