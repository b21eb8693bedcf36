"""What the stream would have stored at moments of the past: a reference that applies record after record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from encoder.data.events import BehaviorEvent
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.engine.arena import Arena
from streams.engine.codec import Erasure, Several
from streams.engine.planning.candidates import Part
from streams.engine.processor import Processor
from tests.support.processing import Record

WITHOUT_HISTORY = -1  # stands for the null of last_time_ms


class Stored(NamedTuple):
    """The row of a user since a moment."""

    moment_ms: int
    steps: int
    last_time_ms: int
    representation: NDArray[np.float32]


class Stream:
    """Applies records one by one with the code of the worker, and keeps the user's row after each record."""

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        arena = Arena(1_000, manifest.state_width, manifest.representation_width)
        self._bundle = bundle
        self._processor = Processor(bundle, Stepper(bundle), arena)
        self._rows: dict[str, list[Stored]] = {}
        self._sequence = 0

    def apply(self, offset: int, outcome: BehaviorEvent | Several | Erasure, moment_ms: int) -> None:
        """Apply a record of a partition that holds all users."""
        self._sequence += 1
        record = Record(outcome.user_id.encode(), b"", offset, moment_ms)
        self._processor.process([Part(0, [record], [outcome])], self._sequence, evaluate=False)
        arena = self._processor.arena
        slot = arena.slot(outcome.user_id)
        row = (
            (0, WITHOUT_HISTORY, self._bundle.initial_representation)
            if slot is None
            else (int(arena.steps[slot]), int(arena.last_time_ms[slot]), arena.representation[slot].copy())
        )
        self._rows.setdefault(outcome.user_id, []).append(Stored(moment_ms, *row))

    def row_at(self, user_id: str, time_ms: int) -> Stored:
        """The row after the user's records before the first record that is not earlier than the moment."""
        row = Stored(0, 0, WITHOUT_HISTORY, self._bundle.initial_representation)
        for one in self._rows.get(user_id, []):
            if one.moment_ms >= time_ms:
                break
            row = one
        return row


def write_labels(path: Path, labels: Sequence[tuple[str, int]], **columns: Any) -> None:
    """Write a file of labels (user, moment in ms) with further columns."""
    users, times = [user for user, _ in labels], [time_ms for _, time_ms in labels]
    arrays = {"user_id": pyarrow.array(users, pyarrow.string()), "time_ms": pyarrow.array(times, pyarrow.int64())}
    pyarrow.parquet.write_table(pyarrow.table({**arrays, **columns}), path)


def read_features(path: Path) -> list[Stored]:
    """The result of `thalweg represent` in the order of its rows."""
    table = pyarrow.parquet.read_table(path)
    vectors = np.array(table["representation"].to_pylist(), np.float32).reshape(len(table), -1)
    last = [WITHOUT_HISTORY if time_ms is None else time_ms for time_ms in table["last_time_ms"].to_pylist()]
    rows = zip(table["time_ms"].to_pylist(), table["steps"].to_pylist(), last, vectors, strict=True)
    return [Stored(*row) for row in rows]
