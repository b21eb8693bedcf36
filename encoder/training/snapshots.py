"""Snapshots of a training: one file from which a stopped training continues after its last finished epoch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import torch

from encoder.metrics.hybrid.choice import HybridChoices
from encoder.training.calibration.head_fit import HeadFit
from encoder.training.calibration.scores import Calibration
from encoder.training.validation import Validation

FILE_NAME = "unfinished.pt"


@dataclass(frozen=True)
class Snapshot:
    """The state of a training between two epochs."""

    validation: Validation  # so far
    passes: int  # finished epochs over the whole log; 0 while epochs are still validated
    fit: dict[str, Any]  # model, optimiser and states of random generators: tensors, numbers and texts


class SnapshotFile:
    """The latest snapshot of a training, in the training's folder.

    A snapshot of another training is not used, and the next snapshot overwrites it.
    """

    def __init__(self, folder: Path | str, identity: Mapping[str, Any]) -> None:
        """identity: everything on which the result of the training depends, as values that JSON can express."""
        self._path = Path(folder) / FILE_NAME
        self._identity = sha256(msgspec.json.encode(identity, order="deterministic")).hexdigest()
        self.was_rejected = False  # whether the file is damaged, or belongs to a training with another identity
        self.found = self._load()

    def _load(self) -> Snapshot | None:
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            self.was_rejected = content["identity"] != self._identity
            return None if self.was_rejected else _snapshot(content)
        except FileNotFoundError:
            return None
        except Exception:  # torch raises errors of many classes for damaged bytes, and a damaged file is of no use
            self.was_rejected = True
            return None

    def save(self, snapshot: Snapshot) -> None:
        """Replace the file by this snapshot. When the process is killed, the file holds the old or the new snapshot."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        with draft.open("wb") as file:
            torch.save(
                {
                    "identity": self._identity,
                    "epochs": snapshot.validation.epochs,
                    "calibration": msgspec.to_builtins(snapshot.validation.calibration),
                    "ranks": torch.from_numpy(snapshot.validation.ranks),
                    "heads": msgspec.to_builtins(snapshot.validation.heads),
                    "hybrid": msgspec.to_builtins(snapshot.validation.hybrid),
                    "passes": snapshot.passes,
                    "fit": snapshot.fit,
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._path)

    def remove(self) -> None:
        """Delete the file, because the training is finished."""
        self._path.unlink(missing_ok=True)


def _snapshot(content: Mapping[str, Any]) -> Snapshot:
    """The snapshot in a file's content. Raises KeyError where a version before wrote the file with fewer fields."""
    calibration = msgspec.convert(content["calibration"], Calibration | None)
    heads = msgspec.convert(content["heads"], HeadFit | None)
    hybrid = msgspec.convert(content["hybrid"], HybridChoices | None)
    validation = Validation(content["epochs"], calibration, content["ranks"].numpy(), heads, hybrid)
    return Snapshot(validation, content["passes"], content["fit"])
