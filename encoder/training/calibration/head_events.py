"""The events on which the heads are fitted, with representations that no longer change."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.data.sequences import Sequences
from encoder.model.user_model import UserModel
from encoder.training.evaluation import representations

MAX_EVENTS = 50_000  # that a fit looks at, which takes about 4 s
SEED = 0


class HeadEvents(NamedTuple):
    """m events, each with what the heads read and what the heads predict."""

    position: NDArray[np.int64]  # (m,) in the sequences, ascending
    before: Tensor  # (m, R) float32, from which the action is predicted
    after: Tensor  # (m, R) float32, from which the time to the next event is predicted
    action: Tensor  # (m,) int64, 0 is unknown
    gap_s: Tensor  # (m,) float32 time to the user's next event; for a censored one, the time to the end of the log
    is_censored: Tensor  # (m,) bool, whether the event is the user's last

    @classmethod
    def of(cls, model: UserModel, sequences: Sequences) -> "HeadEvents":
        """All events of the sequences, or MAX_EVENTS of them, drawn at random with a fixed seed.

        A last event whose censored gap is not known counts with the gap 0, which says nothing.
        """
        position = np.arange(len(sequences.item))
        if len(position) > MAX_EVENTS:
            position = np.sort(np.random.default_rng(SEED).choice(position, MAX_EVENTS, replace=False))
        before, after = representations(model, sequences, position)
        is_last = np.isin(position, sequences.starts[1:] - 1)
        following_ms = sequences.gap_ms[np.minimum(position + 1, len(sequences.item) - 1)]
        gap_ms = np.where(is_last, np.maximum(sequences.censored_gap_ms(position), 0), following_ms)
        return cls(
            position,
            before,
            after,
            torch.from_numpy(sequences.action[position].astype(np.int64)),
            torch.from_numpy((gap_ms / 1000).astype(np.float32)),
            torch.from_numpy(is_last),
        )

    def at(self, chosen: NDArray[np.bool_]) -> "HeadEvents":
        """The chosen events. chosen: (m,)."""
        mask = torch.from_numpy(chosen)
        return HeadEvents(self.position[chosen], *(values[mask] for values in self[1:]))
