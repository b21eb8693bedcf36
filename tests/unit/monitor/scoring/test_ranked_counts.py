"""Counts, ranks and ties of RankedCounts against a plain Counter."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.scoring.ranked_counts import RankedCounts

items = st.sampled_from([f"i{n}" for n in range(40)])


@given(st.lists(items), st.integers(1, 3))
def test_halving_keeps_counts_and_order(history: list[str], times: int) -> None:
    ranked = RankedCounts()
    counts = Counter(history)
    for item in history:
        ranked.add(item)
    for _ in range(times):
        ranked.halve()
        counts = Counter({item: count // 2 for item, count in counts.items() if count >= 2})
    for item in history[:5]:  # counting still works after halving
        ranked.add(item)
        counts[item] += 1
    assert len(ranked) == len(counts)
    for item in set(history):
        assert ranked.count(item) == counts[item]
        expected = sum(count >= counts[item] for count in counts.values()) if counts[item] else 0
        assert ranked.rank(item) == expected
        higher, at_least = ranked.tie_range(item)
        if counts[item]:
            assert set(ranked.items(higher, at_least)) == {i for i, count in counts.items() if count == counts[item]}
        else:
            assert higher == at_least == len(counts)
