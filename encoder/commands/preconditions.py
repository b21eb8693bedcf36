"""What a command checks before it reads a log, so that hours of work do not end in an error."""

import importlib.util
import tempfile
from pathlib import Path

from encoder.errors import InputError


def check_torch(task: str) -> None:
    """Raise InputError when torch is not installed. task: what needs torch. Does not load torch."""
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            f"{task} needs torch, which is not installed: install Thalweg with its `train` extra "
            "(`make .venv/test`, or `uv sync --extra train`)"
        )


def check_writable(folder: Path | str, option: str) -> None:
    """Raise InputError when files cannot be written into `folder`, or when the folder cannot be made.

    option: the option that named the folder, with its value. Nothing is left behind in the folder.
    """
    existing = Path(folder)
    try:
        while not existing.exists():
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"{option} cannot be written: {error}; name another folder") from None


def check_writable_file(path: Path, option: str) -> None:
    """Raise InputError when the file `path` cannot be written because of its folder, or because it is a folder itself.

    option: the option that named the file, with its value.
    """
    if path.is_dir():
        raise InputError(f"{option} cannot be written: {path} is a folder; name a file")
    check_writable(path.parent, option)
