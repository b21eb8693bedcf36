"""What commands that read a checkpoint have in common. Free of torch."""

from hashlib import sha256
from pathlib import Path

import msgspec

from encoder.errors import InputError
from encoder.training.settings import TrainingSettings

FILES = ("checkpoint.json", "weights.pt", "baselines.npz")  # of a checkpoint
IN_BUNDLE = "checkpoint"  # folder of these files in a bundle


class _Listed(msgspec.Struct, frozen=True):
    files: dict[str, str]


class _Shape(msgspec.Struct, frozen=True):
    counters: bool = False


class _Described(msgspec.Struct, frozen=True):
    settings: TrainingSettings
    model: _Shape


def check_checkpoint(path: Path | str, for_bundle: str = "") -> None:
    """Raise InputError where there is no checkpoint, without the seconds that loading torch takes.

    for_bundle: what else to do if it is a bundle.
    """
    path = Path(path)
    if (path / "checkpoint.json").is_file():
        return
    if not (path / "manifest.json").is_file():
        raise InputError(f"no checkpoint at {path}: checkpoint.json is missing; make one with `thalweg train`")
    carried = path / IN_BUNDLE
    remedy = (
        f"name the one that it carries, {carried}" if carried.is_dir() else "name the one that it was exported from"
    )
    raise InputError(f"{path} is a bundle, not a checkpoint: {remedy}{for_bundle and f', or {for_bundle}'}")


def checkpoint_folder(path: Path | str) -> Path:
    """The checkpoint that `path` is, or that the bundle there carries.

    Raises InputError where there is neither, or the bundle carries none or a changed one.
    """
    path = Path(path)
    if not (path / "manifest.json").is_file():
        check_checkpoint(path)
        return path
    if not (path / IN_BUNDLE).is_dir():
        raise InputError(
            f"bundle {path} carries no checkpoint to learn on from: it was exported --without-checkpoint, or before "
            "bundles carried one; name the checkpoint folder that it was exported from, or train anew and export that"
        )
    check_carried(path)
    return path / IN_BUNDLE


def check_carried(bundle: Path) -> None:
    """Raise InputError where a bundle's checkpoint is not the one that its manifest was written with."""
    listed = msgspec.json.decode((bundle / "manifest.json").read_bytes(), type=_Listed).files
    for name in FILES:
        path = bundle / IN_BUNDLE / name
        if not path.is_file() or sha256(path.read_bytes()).hexdigest() != listed.get(f"{IN_BUNDLE}/{name}"):
            raise InputError(f"{path} is missing or was changed after the bundle's export: export it again")


def trained_settings(folder: Path) -> TrainingSettings:
    """The settings that a checkpoint was trained with. Raises InputError where they cannot be read."""
    try:
        described = msgspec.json.decode((folder / "checkpoint.json").read_bytes(), type=_Described)
        # One from before there were counters has none, whatever the default of today.
        return msgspec.structs.replace(described.settings, counters=described.model.counters)
    except msgspec.MsgspecError as error:
        raise InputError(f"{folder} is not a readable checkpoint: {error}; train it again") from None
