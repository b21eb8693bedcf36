"""The monitor's state in a file, so that a restart neither counts twice nor forgets.

The file holds what the monitor has counted and how far the monitor has read, and both belong to one moment. The file is
replaced as a whole. The file belongs to one evaluation topic, and a topic that was deleted and made again begins with a
new state.
"""

import fcntl
import hashlib
import io
import os
import pickle
import time
from pathlib import Path
from typing import Any, NamedTuple

from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from streams.monitor.topic_follower import Positions

FORMAT = 5  # to be raised with a change of a class that a state holds; an older state is then not read
SAVE_EVERY_S = 30.0
CLUSTER_DIGITS = 8
LARGEST_SHARE = 0.02  # of the monitor's time that may be spent on saving
OWN = ("streams.monitor.scoring.", "streams.monitor.drift.", "streams.monitor.pairs.", "streams.contracts.")
CONTAINERS = {
    *(("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
    *(("builtins", name) for name in ("bytearray", "float", "set")),
    ("msgspec._utils", "rebuild"),  # makes a record of one of our types
}


class State(NamedTuple):
    """What is saved."""

    scoreboards: BundleScoreboards
    positions: Positions


class SavedState:
    """The file of one evaluation topic of one cluster in a folder. One monitor at a time holds the file."""

    def __init__(self, folder: Path, broker: str, topic: str) -> None:
        """broker: the addresses of the cluster, separated by commas, in any order."""
        cluster = hashlib.sha256(",".join(sorted(broker.split(","))).encode()).hexdigest()[:CLUSTER_DIGITS]
        self._path = folder / f"{topic}-{cluster}.state"
        self._lock: int | None = None
        self._next_save_s = time.monotonic() + SAVE_EVERY_S

    @property
    def path(self) -> Path:
        return self._path

    def acquire(self) -> bool:
        """Take the file for this process until `release`. Returns False where another monitor holds the file.

        Raises OSError.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def exists(self) -> bool:
        """Whether there is a file, which may be damaged or belong to a topic that was deleted."""
        return self._path.exists()

    def load(self, topic_id: str) -> State | str:
        """The saved state of the topic with this id, or a sentence that says why there is none.

        A file that cannot be used is kept under another name.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return f"{self._path} does not exist yet"
        except OSError as error:
            return f"{self._path} cannot be read: {error.strerror}"
        try:
            header, state = _Unpickler(io.BytesIO(content)).load()
        except Exception as error:  # a damaged pickle raises errors of any kind
            kept = self._path.with_suffix(".damaged")
            self._path.replace(kept)
            return f"{self._path} cannot be used: {error!r}; the file is now {kept.name}"
        if header != (FORMAT, topic_id):
            return f"{self._path} belongs to another version of Thalweg or to a topic that was deleted"
        return State(*state)

    def is_due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() >= self._next_save_s

    def save(self, topic_id: str, state: State) -> None:
        """Replace the file. Raises OSError."""
        begin_s = time.monotonic()
        new = self._path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            pickle.dump(((FORMAT, topic_id), tuple(state)), file, protocol=5)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        end_s = time.monotonic()
        self._next_save_s = end_s + max(SAVE_EVERY_S, (end_s - begin_s) / LARGEST_SHARE)


class _Unpickler(pickle.Unpickler):
    """Makes objects of the monitor's own classes and of containers alone, so that a foreign file runs no code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in CONTAINERS:
            return super().find_class(module, name)
        if "." not in name and module.startswith(OWN):
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:  # neither a function nor what a module imports
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a state")
