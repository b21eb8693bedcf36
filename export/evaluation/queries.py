"""Queries of users after any number of their events. The bundle's step graph steps users side by side.

A query is a user's representation with the recent items behind it (`export.runtime.queries`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.predictions import Predictions
from export.runtime.stepper import Stepper

# The users that are stepped side by side have about so many events. Their queries take 16 MB at width 64.
TABLE_EVENTS = 65_536


def queries(
    bundle: Bundle, stepper: Stepper, sequences: Sequences, user: NDArray[np.int64], seen: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The query of `user` after the user's first `seen` events, for m pairs of both.

    user: (m,) ascending. seen: (m,), 0 for a user without history. Yields slices of the m pairs, one after another,
    with their queries (k, Q) float32.
    """
    begin = 0
    while begin < len(sequences):
        limit = sequences.starts[begin] + TABLE_EVENTS
        end = max(begin + 1, int(np.searchsorted(sequences.starts, limit, side="right")) - 1)
        pairs = slice(int(np.searchsorted(user, begin)), int(np.searchsorted(user, end)))
        if pairs.stop > pairs.start:
            first, table = _query_table(bundle, stepper, sequences, begin, end)
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
    """(m,) rank of `item` under the query of `user` after the user's first `seen` events, 0 for item 0."""
    rank = np.zeros(len(item), np.int64)
    for pairs, query in queries(bundle, stepper, sequences, user, seen):
        rank[pairs] = stepper.rank(query, item[pairs])
    return rank


def predictions(
    bundle: Bundle,
    stepper: Stepper,
    sequences: Sequences,
    user: NDArray[np.int64],
    seen: NDArray[np.int64],
    item: NDArray[np.int64],
) -> Predictions:
    """`ranks` and the outputs of the heads, for m > 0 pairs of `user` and `seen`."""
    found = [stepper.predict(query, item[pairs]) for pairs, query in queries(bundle, stepper, sequences, user, seen)]
    return Predictions(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _query_table(
    bundle: Bundle, stepper: Stepper, sequences: Sequences, begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """All queries of the users from `begin` to `end`. Wave k steps each user's k-th event.

    Returns (users,) the row of each user without history, and the table (events + users, Q) float32. The row after that
    row is the query after the user's first event, and so on.
    """
    starts, lengths = sequences.starts[begin:end], sequences.lengths[begin:end]
    first = starts - starts[0] + np.arange(end - begin)
    table = np.empty((int(lengths.sum()) + end - begin, bundle.query_width), np.float32)
    table[first] = bundle.initial_query
    order = np.argsort(-lengths, kind="stable")  # the users of a wave are then the first users of the wave before
    starts, lengths, row = starts[order], lengths[order], first[order]
    state = np.tile(bundle.initial_state, (end - begin, 1))
    features = {name: sequences.features[name] for name in bundle.features}
    events = StepInputs(sequences.item, sequences.action, sequences.gap_ms, features)
    for step in range(int(lengths[0])):
        active = int(np.searchsorted(-lengths, -step))
        wave = events.at(starts[:active] + step)
        state, representation = stepper.step(wave, state[:active])
        table[row[:active] + step + 1] = bundle.queries(representation, state)
    return first, table
