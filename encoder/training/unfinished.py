"""A training that was stopped: what it takes to go on after its last finished epoch, in one file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import torch

FILE = "unfinished.pt"


@dataclass(frozen=True)
class Snapshot:
    """A training between two epochs."""

    epochs: list[dict[str, float]]  # those that were validated
    passes: int  # over the whole log that are done; 0 while epochs are still validated
    fit: dict[str, Any]  # model, optimiser and generators of random numbers: tensors, numbers and names


class Unfinished:
    """The last snapshot of a training in its folder. A file of another training is not used, and overwritten."""

    def __init__(self, folder: Path | str, identity: Mapping[str, Any]) -> None:
        """identity: all that decides what the training gives; as JSON."""
        self._path = Path(folder) / FILE
        self._identity = sha256(msgspec.json.encode(identity, order="deterministic")).hexdigest()
        self.was_refused = False  # whether there was a file, but of another log or other settings, or not readable
        self.found = self._read()

    def _read(self) -> Snapshot | None:
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception:  # whatever damaged bytes make of torch's reader: there is nothing to go on from
            content = {"identity": None}
        if content["identity"] != self._identity:
            self.was_refused = True
            return None
        return Snapshot(content["epochs"], content["passes"], content["fit"])

    def keep(self, snapshot: Snapshot) -> None:
        """Replace the last snapshot by this one: a process killed meanwhile leaves one of the two, whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        with draft.open("wb") as file:
            torch.save({"identity": self._identity, **vars(snapshot)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._path)

    def remove(self) -> None:
        """Delete the file: the training is finished."""
        self._path.unlink(missing_ok=True)
