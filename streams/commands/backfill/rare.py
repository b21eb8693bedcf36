"""The records of a block that the columns do not hold: all records of users with an erasure, a repeat or a stray."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.commands.backfill.blocks import History
from streams.commands.backfill.progress import Progress
from streams.commands.backfill.strays import Stray, strays_of
from streams.engine.codec import Rejected
from streams.engine.planning.candidates import Erased, Part
from streams.engine.processor import Processor


class Rare(NamedTuple):
    """What was found. rejected: the strays, as `OutputEncoder.letters_without_original` takes them."""

    rejected: list[tuple[Stray, Rejected]]
    erased: list[Erased]
    counts: Progress


def step_rare(
    processor: Processor,
    unsaved: NDArray[np.bool_],
    topic: str,
    history: History,
    rows: NDArray[np.int64],
    sequence: int,
) -> Rare:
    """Step these rows of a block, as a worker does, and mark the users that changed in `unsaved`.

    unsaved: (capacity,) bool. sequence: the number of the block.
    """
    partition, (records, outcomes) = history.block.partition, history.outcomes(rows)
    stepped = processor.process([Part(partition, records, outcomes)], sequence, evaluate=False)
    slots = processor.arena.slots(stepped.rows.select(stepped.updated_rows()).user_id)
    unsaved[slots[slots >= 0]] = True
    counts = Progress(
        events=len(stepped.applied.event),
        already_applied=stepped.already_applied,
        erasures=len(stepped.erased),
        dead_letters=len(stepped.rejected),
    )
    return Rare(strays_of(topic, partition, stepped.rejected, records, outcomes), stepped.erased, counts)
