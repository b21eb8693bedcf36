"""What commands that read a checkpoint have in common."""

from pathlib import Path

from encoder.errors import InputError


def check_checkpoint(path: Path | str) -> None:
    """Raise InputError where there is no checkpoint, without the seconds that loading torch takes."""
    if not (Path(path) / "checkpoint.json").is_file():
        raise InputError(f"no checkpoint at {path}: checkpoint.json is missing; make one with `thalweg train`")
