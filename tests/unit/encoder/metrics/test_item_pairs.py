"""Counts of pairs of items do not depend on how many events are counted at once."""

import numpy as np
import pytest

from encoder.metrics.followers import item_pairs
from encoder.metrics.followers.item_pairs import ItemPairs
from tests.support.sequences import sequences_with_repeats


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
