"""Computes what users had at the moments of labels, with one part of the users in memory at a time."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.point_in_time.label_file import BATCH_ROWS, LabelFile
from export.point_in_time.lives import lives_of
from export.point_in_time.record_files import RecordFiles
from export.point_in_time.records import EVENT, LABEL, Records, key_bytes, vector_type
from export.point_in_time.stepping import representations
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper

# Users are divided into so many parts. A part of 50,000,000 events has 400,000 events, which take 30 MB.
PARTS = 128
_HASHES = 1 << 24


class Counts(NamedTuple):
    """What a run found."""

    labels: int
    users: int  # with a label
    without_history: int  # labels that see no event
    applied: int  # events of users with a label
    repeats: int  # events of these users that were left out, because the user's last records had brought them


class Run:
    """Vectors of the labels of one file, in a temporary folder until `write`."""

    def __init__(self, bundle: Bundle, stepper: Stepper, labels: LabelFile, folder: Path) -> None:
        """folder: an empty folder, which gets 77 bytes for each event of a user with a label."""
        self._bundle, self._stepper, self._labels = bundle, stepper, labels
        self._width = bundle.manifest.representation_width
        self._label_files = RecordFiles(folder / "labels", LABEL)
        self._event_files = RecordFiles(folder / "events", EVENT)
        self._vector_files = RecordFiles(folder / "vectors", vector_type(self._width))
        self._loaded: tuple[int, Records] = (-1, np.empty(0, vector_type(self._width)))

    def compute(
        self, events: Iterable[Records], *, by_arrival: bool, on_progress: Callable[[str], None] = lambda text: None
    ) -> Counts:
        """Read the labels, then the events, then step the users part after part. events: (n,) EVENT each.

        by_arrival: as of `lives_of`. on_progress: is told how far the run is.
        """
        has_label = np.zeros(_HASHES, np.bool_)  # by a hash of the user, so some users without a label pass
        for labels in self._labels.labels():
            has_label[_hash(labels["user"])] = True
            self._label_files.add(_part(labels["user"]), labels)
        read = kept = 0
        for batch in events:
            read += len(batch)
            batch = batch[has_label[_hash(batch["user"])]]
            kept += len(batch)
            self._event_files.add(_part(batch["user"]), batch)
            on_progress(f"{read:,} events read, {kept:,} of them of users with a label")
        users = without_history = applied = repeats = 0
        for part in range(PARTS):
            on_progress(f"part {part + 1} of {PARTS} of the users is stepped")
            labels = self._label_files.take(part)
            own = self._event_files.take(part)
            own = own[np.isin(own["user"], labels["user"])]
            lives, seen = lives_of(own, labels, by_arrival=by_arrival)
            found = np.zeros(len(labels), vector_type(self._width))
            found["row"], found["steps"] = labels["row"], seen.steps
            found["representation"] = representations(self._bundle, self._stepper, lives, seen)
            is_seen = seen.steps > 0
            last = lives.starts[seen.life[is_seen]] + seen.steps[is_seen] - 1
            found["last_time_ms"][is_seen] = lives.latest_ms[last]
            self._vector_files.add(found["row"] // BATCH_ROWS, found)
            users += len(np.unique(labels["user"]))
            without_history += len(labels) - int(is_seen.sum())
            applied += len(lives.latest_ms)
            repeats += len(own) - int(own["is_erasure"].sum()) - len(lives.latest_ms)
        return Counts(self._labels.rows, users, without_history, applied, repeats)

    def write(self, path: Path) -> None:
        """Write the labels with their vectors. `compute` has to come first."""
        self._labels.write(path, self._width, {"thalweg.bundle_id": self._bundle.bundle_id}, self._vectors)

    def _vectors(self, begin: int, end: int) -> Records:
        """The results of the rows from `begin` to before `end`, in order. A later call begins where this one ends."""
        parts = []
        while begin < end:
            number, at = divmod(begin, BATCH_ROWS)
            if self._loaded[0] != number:
                loaded = self._vector_files.take(number)
                self._loaded = number, loaded[np.argsort(loaded["row"])]
            part = self._loaded[1][at : at + end - begin]
            parts.append(part)
            begin += len(part)
        return np.concatenate(parts) if parts else self._loaded[1][:0]


def _part(user: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """(n,) the part of each user."""
    return key_bytes(user)[:, 0].astype(np.int64) % PARTS


def _hash(user: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """(n,) a number below _HASHES of each user."""
    number: NDArray[np.int64] = key_bytes(user)[:, 1:4].astype(np.int64) @ np.array([1, 1 << 8, 1 << 16])
    return number
