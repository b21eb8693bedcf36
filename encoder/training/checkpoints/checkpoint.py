"""Checkpoints: trained models on disk. `thalweg train` writes them, and `evaluate` and `export` read them.

checkpoint.json   shape of the model, vocabulary, training settings, metrics, and the fingerprint of the log
weights.pt        the tensors of the model
baselines.npz     the counts of the training log for the baselines, and the companions of items for hybrid scores, whose
                  names begin with `companions_`
"""

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from encoder.data.event_log import EventLog
from encoder.data.features import BRAND
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.metrics.baselines import Baselines
from encoder.metrics.followers.companions import Companions
from encoder.metrics.hybrid.choice import HybridChoices
from encoder.model.config import ModelConfig
from encoder.model.user_model import UserModel
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained

COMPANIONS = "companions_"  # before the names of the arrays of companions


class Description(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of checkpoint.json. Two trainings on the same log write the same file, so it holds no times."""

    model: ModelConfig
    vocabulary: Vocabulary
    settings: TrainingSettings
    metrics: dict[str, float | int]  # of the best epoch, on the validation part
    epochs: list[dict[str, float | int]]
    # A key of `encoder.metrics.baselines.BASELINES` -> the metrics of that ranking, on the validation part. A
    # checkpoint of an earlier version has none.
    baselines: dict[str, dict[str, float | int]] = {}
    data: dict[str, Any]  # fingerprint of the training log, and the origin that `save` was given
    action_offsets: list[float] = []  # as of `encoder.training.train.Trained`; empty in older checkpoints
    hybrid: HybridChoices = {}  # as of `encoder.training.train.Trained`; empty in older checkpoints


@dataclass(frozen=True)
class Checkpoint:
    """A trained model that was read from its folder."""

    model: UserModel
    baselines: Baselines
    description: Description
    companions: Companions | None  # None in a checkpoint of an earlier version

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the model."""
        return self.description.vocabulary

    @property
    def identity(self) -> str:
        """The SHA-256 of the description and the weights."""
        digest = sha256(msgspec.json.encode(self.description))
        for weights in self.model.state_dict().values():
            digest.update(weights.numpy().tobytes())
        return digest.hexdigest()


# What torch, numpy and msgspec raise for files that are cut off, damaged or unreadable.
_UNREADABLE = (
    msgspec.MsgspecError,
    RuntimeError,
    ValueError,
    TypeError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


def save(
    trained: Trained,
    log: EventLog,
    path: Path | str,
    origin: Mapping[str, Any] | None = None,
    baselines: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Write a checkpoint of a model that was trained on `log` into the folder `path`.

    origin: the counts of the file's rows and of the preparation, which are stored beside the log's fingerprint.
    baselines: the metrics of `encoder.training.train.validate_baselines`.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    (path / "checkpoint.json").unlink(missing_ok=True)  # without this file, a half-written checkpoint is not finished
    description = Description(
        model=trained.model.config,
        vocabulary=trained.vocabulary,
        settings=trained.settings,
        metrics=dict(trained.metrics),
        epochs=[dict(epoch) for epoch in trained.epochs],
        baselines={name: dict(metrics) for name, metrics in (baselines or {}).items()},
        data={**fingerprint(log), **(origin or {})},
        action_offsets=trained.action_offsets,
        hybrid=trained.hybrid,
    )
    torch.save(trained.model.state_dict(), path / "weights.pt")
    counts = {name: getattr(trained.baselines, name) for name in ("popularity", "pairs", "pair_counts")}
    companions = {COMPANIONS + field.name: getattr(trained.companions, field.name) for field in fields(Companions)}
    np.savez(path / "baselines.npz", **counts, **companions)
    (path / "checkpoint.json").write_bytes(msgspec.json.format(msgspec.json.encode(description), indent=2))


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint. Raises InputError when a file is missing or unreadable."""
    path = Path(path)
    try:
        description = msgspec.json.decode((path / "checkpoint.json").read_bytes(), type=Description)
        model = UserModel(description.model)
        model.load_state_dict(torch.load(path / "weights.pt", weights_only=True))
        with np.load(path / "baselines.npz") as counts:
            baselines = Baselines(**{name: counts[name] for name in counts if not name.startswith(COMPANIONS)})
            found = {name.removeprefix(COMPANIONS): counts[name] for name in counts if name.startswith(COMPANIONS)}
            companions = Companions(**found) if found else None
    except FileNotFoundError as error:
        raise InputError(
            f"no checkpoint at {path}: {error.filename} is missing; make one with `thalweg train`"
        ) from None
    except _UNREADABLE as error:
        why = (str(error) or type(error).__name__).splitlines()[0]  # torch adds lines of advice for programmers
        raise InputError(f"{path} is not a readable checkpoint: {why}; train it again") from None
    return Checkpoint(model.eval(), baselines, description, companions)


def fingerprint(log: EventLog) -> dict[str, Any]:
    """The size and the time span of a log, and the SHA-256 of all columns that a model uses."""
    digest = sha256()
    columns = [(log.user_ids, log.user), (log.item_ids, log.item), (log.actions, log.action)]
    columns += [(log.categories, log.category)]
    if BRAND in log.attributes:
        columns.append(log.attributes[BRAND])
    for values, codes in columns:
        digest.update(msgspec.json.encode(values))
        digest.update(np.ascontiguousarray(codes, np.int64).tobytes())
    digest.update(np.ascontiguousarray(log.time_ms, np.int64).tobytes())
    digest.update(np.ascontiguousarray(log.price, np.float64).tobytes())
    return {
        "events": len(log),
        "users": len(np.unique(log.user)),
        "items": len(np.unique(log.item)),
        "first_ms": int(log.time_ms[0]),
        "last_ms": int(log.time_ms[-1]),
        "sha256": digest.hexdigest(),
    }
