"""Companions of items are those of visits that are counted one by one."""

import dataclasses
from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from encoder.data.sequences import Sequences
from encoder.metrics.followers import companions
from encoder.metrics.followers.companions import DAMPING, MOST_ITEMS, VISIT_GAP_MS, Companions, visits_of
from tests.support.sequences import sequences_of, sequences_with_repeats

ITEMS = 25


def counted_one_by_one(sequences: Sequences) -> tuple[Counter[tuple[int, int]], Counter[int]]:
    """Return the visits with each pair of items, and with each item."""
    visits: list[set[int]] = []
    for begin, end in zip(sequences.starts[:-1], sequences.starts[1:], strict=True):
        for at in range(begin, end):
            if at == begin or sequences.gap_ms[at] >= VISIT_GAP_MS:
                visits.append(set())
            visits[-1] |= {int(sequences.item[at])} - {0}
    counted = [visit for visit in visits if 2 <= len(visit) <= MOST_ITEMS]
    pairs = Counter(pair for visit in counted for pair in permutations(visit, 2))
    return pairs, Counter(item for visit in counted for item in visit)


def pairs_of(found: Companions) -> dict[tuple[int, int], float]:
    row = np.repeat(np.arange(len(found.visits)), np.diff(found.starts))
    return dict(zip(zip(row.tolist(), found.items.tolist(), strict=True), found.together.tolist(), strict=True))


def test_pairs_are_counted_once_for_each_visit() -> None:
    sequences = sequences_with_repeats()
    found = Companions.count(sequences, ITEMS)
    pairs, visits = counted_one_by_one(sequences)
    assert len(pairs) > 100
    assert pairs_of(found) == pairs
    assert dict(enumerate(found.visits.tolist())) == {item: visits[item] for item in range(ITEMS + 1)}
    first, second = next(iter(pairs))
    place = found.starts[first] + found.items[found.starts[first] : found.starts[first + 1]].tolist().index(second)
    expected = pairs[first, second] / np.sqrt((visits[first] + DAMPING) * (visits[second] + DAMPING))
    assert found.similarities()[place] == pytest.approx(expected)


def test_a_pause_ends_a_visit_and_a_visit_never_crosses_users() -> None:
    sequences = sequences_of([1, 2, 3], [4, 5])
    gap_ms = np.array([-1, VISIT_GAP_MS - 1, VISIT_GAP_MS, -1, 0])
    sequences = dataclasses.replace(sequences, gap_ms=gap_ms)
    assert visits_of(sequences).tolist() == [0, 0, 1, 2, 2]
    assert sorted(pairs_of(Companions.count(sequences, 5))) == [(1, 2), (2, 1), (4, 5), (5, 4)]


def test_counts_of_two_parts_are_those_of_the_whole_and_new_items_get_rows() -> None:
    visits = np.random.default_rng(0).integers(1, 11, (90, 3)).tolist()
    whole = Companions.count(sequences_of(*visits), 12)
    first = Companions.count(sequences_of(*visits[:40]), 10).widened(12)
    added = first + Companions.count(sequences_of(*visits[40:]), 12)
    for field in dataclasses.fields(Companions):
        np.testing.assert_array_equal(getattr(added, field.name), getattr(whole, field.name))
        assert getattr(added, field.name).dtype == getattr(whole, field.name).dtype


def test_only_the_most_similar_companions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 1 stands with 2 more often than with 3, and 4 stands with 1 once, as one of many."""
    monkeypatch.setattr(companions, "MOST_COMPANIONS", 2)
    visits = [[1, 2], [1, 2], [1, 3], [1, 4], *([4, other] for other in (5, 6, 7, 8) * 5)]
    found = Companions.count(sequences_of(*visits), 8)
    assert [second for first, second in pairs_of(found) if first == 1] == [2, 3]


def test_a_longer_log_counts_a_part_of_the_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = [[1, 2]] * 100
    monkeypatch.setattr(companions, "MOST_ROWS", 100)  # two items of each visit
    assert pairs_of(Companions.count(sequences_of(*visits), 2)) == {(1, 2): 34, (2, 1): 34}


def test_a_log_without_visits_of_several_items_has_no_companions() -> None:
    found = Companions.count(sequences_of([1], [2, 2]), 2)
    assert (len(found.items), found.starts.tolist(), found.visits.tolist()) == (0, [0, 0, 0, 0], [0, 0, 0])
