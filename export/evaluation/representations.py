"""Representations of users after any number of their events, by the bundle's step graph: users side by side."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper

EVENTS = 65_536  # of the users stepped side by side: their representations are held, 16 MB at a width of 64


def representations(
    bundle: Bundle, stepper: Stepper, sequences: Sequences, user: NDArray[np.int64], seen: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The representation of `user` after the first `seen` of its events, for m such pairs.

    user: (m,) int64 ascending; seen: (m,) int64, 0 for a user without history. Yields slices of the m pairs, one after
    another, with their (k, D) float32.
    """
    begin = 0
    while begin < len(sequences):
        room = sequences.starts[begin] + EVENTS
        end = max(begin + 1, int(np.searchsorted(sequences.starts, room, side="right")) - 1)
        pairs = slice(int(np.searchsorted(user, begin)), int(np.searchsorted(user, end)))
        if pairs.stop > pairs.start:
            first, table = _table(bundle, stepper, sequences, begin, end)
            yield pairs, table[first[user[pairs] - begin] + seen[pairs]]
        begin = end


def ranks(
    bundle: Bundle,
    stepper: Stepper,
    sequences: Sequences,
    user: NDArray[np.int64],
    seen: NDArray[np.int64],
    item: NDArray[np.int64],
) -> NDArray[np.int64]:
    """(m,) rank of `item` under the representation of `user` after the first `seen` of its events, 0 for item 0."""
    found = np.zeros(len(item), np.int64)
    for pairs, representation in representations(bundle, stepper, sequences, user, seen):
        found[pairs] = stepper.rank(representation, item[pairs])
    return found


def predictions(
    bundle: Bundle,
    stepper: Stepper,
    sequences: Sequences,
    user: NDArray[np.int64],
    seen: NDArray[np.int64],
    item: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """`ranks` and what the heads give: (m, A + 1) probabilities of the next action, (m, 3K) mixtures of its time.

    Without heads both have 0 columns.
    """
    found = np.zeros(len(item), np.int64)
    parts = []
    for pairs, representation in representations(bundle, stepper, sequences, user, seen):
        found[pairs], *heads = stepper.predict(representation, item[pairs])
        parts.append(heads)
    action, time = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return found, action, time


def _table(
    bundle: Bundle, stepper: Stepper, sequences: Sequences, begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Every representation of the users begin..end, wave by wave; wave k holds each user's k-th event.

    Returns (users,) the row of each user without history, and the table (events + users, D) float32: the row after it
    is that after the user's first event, and so on.
    """
    starts, lengths = sequences.starts[begin:end], sequences.lengths[begin:end]
    first = starts - starts[0] + np.arange(end - begin)
    table = np.empty((int(lengths.sum()) + end - begin, bundle.manifest.representation_width), np.float32)
    table[first] = bundle.initial_representation
    order = np.argsort(-lengths, kind="stable")  # the users of a wave are the first of the wave before
    starts, lengths, row = starts[order], lengths[order], first[order]
    state = np.tile(bundle.initial_state, (end - begin, 1))
    features = {name: sequences.features[name] for name in bundle.features}
    events = StepInputs(sequences.item, sequences.action, sequences.gap_ms, features)
    for step in range(int(lengths[0])):
        active = int(np.searchsorted(-lengths, -step))
        at = starts[:active] + step
        state, table[row[:active] + step + 1] = stepper.step(events.at(at), state[:active])
    return first, table
