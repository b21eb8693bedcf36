"""A temporary data folder that does not outlast its owner for long, even where that was killed."""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "thalweg-local-"
LOCK = "owner.lock"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, deleted at the end; first those are deleted whose owners ended without doing so."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it however this process ends
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), file.open("rb") as lock:  # another user's, or gone meanwhile
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(file.parent, ignore_errors=True)
