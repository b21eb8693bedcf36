"""The inputs of a step besides the state: one event for each of a batch of users."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.features import PRICE, Features


class StepInputs(NamedTuple):
    """One event for each of B users. `len` of this tuple counts its four fields, not the events."""

    item: NDArray[np.int64]  # (B,) index, 0 for an item outside the catalogue
    action: NDArray[np.int64]  # (B,) index, 0 for an unknown action
    gap_ms: NDArray[np.int64]  # (B,) time since the user's previous event, -1 for the user's first event
    features: Features  # (B,) each: the features that the bundle names

    def at(self, which: NDArray[np.int64] | slice) -> "StepInputs":
        """The events at these positions: a slice, or (n,) int64 indices."""
        return StepInputs(
            item=self.item[which],
            action=self.action[which],
            gap_ms=self.gap_ms[which],
            features={name: values[which] for name, values in self.features.items()},
        )

    def by_name(self) -> dict[str, NDArray[Any]]:
        """The arrays under the names of the step graph's inputs."""
        return {"item": self.item, "action": self.action, "gap_ms": self.gap_ms, **self.features}


def event_columns(features: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of the input `event` of gpu_step.onnx, which carries all integers of a batch in one transfer."""
    return ("slot", "item", "action", "gap_ms", *(name for name in features if name != PRICE))
