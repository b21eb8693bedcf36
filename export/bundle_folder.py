"""The folder of --out: what may stand there already, and how a finished bundle takes its place."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from encoder.errors import InputError
from export.runtime.bundle import MANIFEST


def check_out(out: Path) -> None:
    """Raise InputError where `out` holds something else than a bundle."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / MANIFEST).is_file():
        raise InputError(f"{out} exists and is not a bundle: name another folder")


def put_in_place(draft: Path, out: Path, new_id: str, overwrite: bool) -> None:
    """Move the finished bundle `draft` to `out`. Raises InputError where another bundle must stay there."""
    if not overwrite:
        _check_same(out, new_id)
    if out.exists():
        shutil.rmtree(out)
    draft.replace(out)


def _check_same(folder: Path, new_id: str) -> None:
    """Raise InputError where the folder holds a bundle with another id."""
    found = _stored_id(folder)
    if found not in (None, new_id):
        raise InputError(f"{folder} holds another bundle, {found}: name another folder, or add --overwrite")


def _stored_id(folder: Path) -> str | None:
    """The id of the bundle in the folder, or None where the folder has no manifest."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return None
    try:
        return str(msgspec.json.decode(manifest.read_bytes(), type=dict[str, Any]).get("bundle_id"))
    except (ValueError, OSError):
        return "with a manifest that cannot be read"
