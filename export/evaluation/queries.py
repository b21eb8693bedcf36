"""Queries of users after any number of their events. The bundle's step graph steps users side by side.

A query is a user's representation with the recent items behind it (`export.runtime.queries`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from encoder.metrics.ranking import MISS
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.predictions import Predictions
from export.runtime.queries import recent_items
from export.runtime.stepper import Stepper

# The users that are stepped side by side have about so many events. Their queries take 16 MB at width 64.
TABLE_EVENTS = 65_536
# Events whose own items are scored together. Few events have few own items, so few scores are computed in vain.
MASKED_EVENTS = 64


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


def masked_ranks(bundle: Bundle, stepper: Stepper, scored: ScoredEvents, rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m,) ranks of the scored items -> (m,) their ranks without the other items that the user had before the event.

    The actual item always stays in the ranking. Item 0 has MISS.
    """
    masked, sequences, item = rank.copy(), scored.sequences, scored.item
    for pairs, query in queries(bundle, stepper, sequences, scored.user, scored.steps):
        for begin in range(0, len(query), MASKED_EVENTS):
            tile = slice(begin, begin + MASKED_EVENTS)
            event, own = sequences.earlier_items(scored.target[pairs][tile])
            actual = item[pairs][tile]
            items = np.unique(np.concatenate([own, actual]))
            scores = _scores_of_items(bundle, query[tile], items)
            actual_score = scores[np.arange(len(actual)), np.searchsorted(items, actual)]
            is_above = scores[event, np.searchsorted(items, own)] >= actual_score[event]
            masked[pairs][tile] -= np.bincount(event[is_above], minlength=len(actual))
    return np.where(rank == MISS, MISS, np.maximum(masked, 1))  # scores that are equal but for rounding may count


def _scores_of_items(bundle: Bundle, query: NDArray[np.float32], items: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, Q) queries, (k,) ascending items with all recent items -> (n, k) float32 scores of these items alone."""
    recent, added = recent_items(query, bundle.manifest.recent_places)
    vectors = bundle.item_vectors[items]
    scores: NDArray[np.float32] = query[:, : vectors.shape[1]] @ vectors.T
    row, place = np.nonzero(recent)
    scores[row, np.searchsorted(items, recent[row, place])] += added[row, place]
    return scores


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
