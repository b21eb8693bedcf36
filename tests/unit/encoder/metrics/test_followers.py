"""Counts of pairs of items, and sequential rules, against second implementations that count one by one."""

import numpy as np
import pytest

from encoder.data.sequences import Sequences
from encoder.metrics.followers import ranks, sequential_rules
from encoder.metrics.followers.item_pairs import ItemPairs
from encoder.metrics.followers.sequential_rules import SequentialRules
from encoder.metrics.ranking import MISS
from tests.support.sequences import pairs_one_by_one, sequences_of, sequences_with_repeats

ITEMS = 12


def as_dict(pairs: ItemPairs) -> dict[tuple[int, int], float]:
    return dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.weight.tolist(), strict=True))


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("max_distance", [1, 3, 50])
def test_pairs_are_counted_within_the_events_of_one_user(max_distance: int, repeats: bool) -> None:
    sequences = sequences_with_repeats(users=30, items=ITEMS)
    expected = pairs_one_by_one(sequences, max_distance, repeats=repeats)
    pairs = ItemPairs.count(sequences, ITEMS, max_distance, repeats=repeats)
    assert as_dict(pairs) == pytest.approx(expected)
    assert list(as_dict(pairs)) == sorted(expected)
    if not repeats:
        both = as_dict(pairs.both_ways(ITEMS))
        assert both == pytest.approx({pair: expected.get(pair, 0) + expected.get(pair[::-1], 0) for pair in both})
        assert both.keys() == expected.keys() | {pair[::-1] for pair in expected}


def popularity_of(sequences: Sequences) -> np.ndarray:
    popularity = np.bincount(sequences.item, minlength=ITEMS + 1)
    popularity[0] = 0
    return popularity


def rank_one_by_one(training: Sequences, history: list[int], item: int) -> int:
    """Return the rank of the item after the history, by the definition of sequential rules."""
    rules, popularity = pairs_one_by_one(training, 10, repeats=True), popularity_of(training)
    scores = [0.0] * (ITEMS + 1)
    for place, last in enumerate(history[::-1][:10]):
        for candidate in range(1, ITEMS + 1):
            scores[candidate] += 0.5**place * rules.get((last, candidate), 0)
    keys = [(round(scores[candidate], 9), int(popularity[candidate])) for candidate in range(ITEMS + 1)]
    return sum(key >= keys[item] for key in keys[1:]) if item else MISS


@pytest.mark.parametrize("max_terms", [20, 4_000_000])
def test_sequential_rules_rank_as_the_rules_one_by_one(max_terms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "MAX_TERMS", max_terms)
    training, scored = sequences_of([1, 2, 3, 0, 2], [2, 2, 4, 1], [7], [8]), sequences_with_repeats(20, ITEMS, 30)
    is_scored = np.random.default_rng(0).random(len(scored.item)) < 0.5
    is_scored[scored.starts[:-1]] = True  # first events have no history
    found = SequentialRules.count(training, popularity_of(training)).ranks(scored, is_scored)
    starts = np.repeat(scored.starts[:-1], scored.lengths)
    expected = [
        rank_one_by_one(training, scored.item[starts[at] : at].tolist(), int(scored.item[at]))
        for at in np.flatnonzero(is_scored)
    ]
    assert found.tolist() == expected
    assert len(set(expected)) > 5


def test_items_that_no_rule_names_follow_the_named_ones_in_the_order_of_popularity() -> None:
    training = sequences_of([1, 2], [3], [3], [3], [4], [4])  # after item 1 came item 2
    scored = sequences_of([1, 2], [1, 3], [1, 4], [1, 1], [1, 5], [9, 2])
    rules = SequentialRules.count(training, popularity_of(training))
    # Item 1 is as popular as item 2, which is named. Item 5 and the other items without an event tie.
    assert rules.ranks(scored, scored.history_lengths() > 0).tolist() == [1, 2, 3, 4, ITEMS, 4]


def test_an_item_keeps_the_followers_with_the_largest_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    training = sequences_of([1, 2], [1, 3], [1, 4], [1, 4], [4, 5, 6], [3])
    monkeypatch.setattr(sequential_rules, "MAX_FOLLOWERS", 2)
    followers = SequentialRules.count(training, popularity_of(training)).followers.toarray()
    assert followers[1].nonzero()[0].tolist() == [3, 4]  # item 3 is more popular than item 2
    assert followers[4].nonzero()[0].tolist() == [5, 6]
    assert (followers[1, 4], followers[4, 6]) == (2, 1 / 2)


def test_no_event_has_no_rank() -> None:
    sequences = sequences_of([1, 2])
    rules = SequentialRules.count(sequences, popularity_of(sequences))
    assert rules.ranks(sequences, np.zeros(2, bool)).shape == (0,)
