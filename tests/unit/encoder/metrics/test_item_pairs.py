"""Counts of pairs of items do not depend on how many events are counted at once."""

import dataclasses

import numpy as np
import pytest

from encoder.metrics.baselines import Baselines
from encoder.metrics.followers import item_pairs
from encoder.metrics.followers.item_pairs import ItemPairs
from tests.support.sequences import sequences_of, sequences_with_repeats


@pytest.mark.parametrize("repeats", [False, True])
def test_pairs_of_chunks_are_those_of_all_events_at_once(repeats: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = sequences_with_repeats()
    items = int(sequences.item.max())
    whole = ItemPairs.count(sequences, items, 10, repeats=repeats)
    monkeypatch.setattr(item_pairs, "_CHUNK_EVENTS", 7)
    parts = ItemPairs.count(sequences, items, 10, repeats=repeats)
    for name in ("first", "second", "weight"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert (np.diff(whole.first * (items + 1) + whole.second) > 0).all()


def test_pairs_of_a_large_catalogue_are_those_that_occurred() -> None:
    """Items have int32 indices in a log, and the pairs of 60,000 items do not fit into int32."""
    items = 60_000
    sequences = sequences_of([59_999, 60_000, 3], [60_000, 59_999])
    sequences = dataclasses.replace(sequences, item=sequences.item.astype(np.int32))
    pairs = ItemPairs.count(sequences, items, 1)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [
        (59_999, 60_000),
        (60_000, 3),
        (60_000, 59_999),
    ]
    assert len(pairs.both_ways(items).first) == 4
    baselines = Baselines.from_sequences(sequences, items)
    ranks = baselines.last_item_ranks(np.array([60_000, 60_000, 59_999]), np.array([3, 59_999, 60_000]))
    assert ranks.tolist() == [2, 1, 1]
