"""An estimate of the memory and the time of a training, from figures that were measured. This module is pure.

The figures are those of docs/benchmarks.md#long-logs.
"""

from typing import NamedTuple

from encoder.training.settings import TrainingSettings

_PROGRAM_BYTES = 600_000_000  # torch, and the arrays of a part of the validation events
_EVENT_BYTES = 300  # sequences of both trainings, recent items, and the pairs of items that are counted
_ITEM_VECTORS = 12  # float32 vectors of an item: weights, gradients, moments, neighbours, a best epoch and their copies
_EVENT_S = 80e-6  # of one core, for an event of an epoch of a model of the default shape
_FLOAT_BYTES = 4


class SizeEstimate(NamedTuple):
    """What a training needs beside the log that is in memory."""

    memory_bytes: int
    epoch_s: float  # of one core, with the default shape

    @classmethod
    def of(cls, events: int, items: int, settings: TrainingSettings) -> "SizeEstimate":
        """The estimate for a training on so many events and items."""
        of_items = items * settings.width * _FLOAT_BYTES * _ITEM_VECTORS
        return cls(_PROGRAM_BYTES + events * _EVENT_BYTES + of_items, events * _EVENT_S)
