"""A temporary data folder that the next start deletes when its owner was killed."""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "thalweg-local-"
LOCK_FILE = "owner.lock"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder, deleted at the end. Folders of owners that were killed are deleted first."""
    _delete_abandoned_folders()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / LOCK_FILE).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases the lock when this process ends in any way
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _delete_abandoned_folders() -> None:
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK_FILE}"):
        # An OSError means that the owner lives, that the folder is another user's, or that the folder has gone.
        with contextlib.suppress(OSError), file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(file.parent, ignore_errors=True)
