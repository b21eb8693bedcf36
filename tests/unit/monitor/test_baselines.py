"""Ranks of the baselines against naive definitions that sort nothing and share no code with them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.baselines import DEPTH, LastItem, RankedCounts

items = st.sampled_from([f"i{n}" for n in range(40)])
histories = st.lists(st.tuples(st.none() | st.sampled_from(["a", "b"]), items), max_size=300)


def naive_last_item_rank(pairs: Counter, popularity: Counter, previous: str | None, item: str) -> int:
    if not popularity[item]:
        return 0

    def score(other: str) -> tuple[int, int]:
        return (pairs[previous, other] if previous is not None else 0, popularity[other])

    rank = sum(score(other) >= score(item) for other in popularity)
    return rank if rank <= DEPTH else 0


@given(histories)
def test_ranks_equal_the_naive_definition_before_each_event(history: list[tuple[str | None, str]]) -> None:
    popularity = RankedCounts()
    last_item = LastItem(popularity)
    pairs: Counter = Counter()
    popular: Counter = Counter()
    for previous, item in history:
        expected = sum(count >= popular[item] for count in popular.values()) if popular[item] else 0
        assert popularity.rank(item) == expected
        assert last_item.rank(previous, item) == naive_last_item_rank(pairs, popular, previous, item)
        popularity.add(item)
        last_item.observe(previous, item)
        popular[item] += 1
        if previous is not None:
            pairs[previous, item] += 1
    assert last_item.pairs == len(pairs)


@given(st.lists(items), st.integers(1, 3))
def test_halving_keeps_counts_and_order(history: list[str], times: int) -> None:
    ranked = RankedCounts()
    counts = Counter(history)
    for item in history:
        ranked.add(item)
    for _ in range(times):
        ranked.halve()
        counts = Counter({item: count // 2 for item, count in counts.items() if count >= 2})
    for item in history[:5]:  # and it still counts on after it
        ranked.add(item)
        counts[item] += 1
    assert len(ranked) == len(counts)
    for item in set(history):
        assert ranked.count(item) == counts[item]
        expected = sum(count >= counts[item] for count in counts.values()) if counts[item] else 0
        assert ranked.rank(item) == expected
        above, upto = ranked.block(item)
        if counts[item]:
            assert set(ranked.items(above, upto)) == {i for i, count in counts.items() if count == counts[item]}
        else:
            assert above == upto == len(counts)


def test_a_first_seen_last_item_gives_the_popularity_ranking() -> None:
    popularity = RankedCounts()
    last_item = LastItem(popularity)
    for item in ["x", "x", "y"]:
        popularity.add(item)
    assert last_item.rank("never seen", "x") == 1
    assert last_item.rank(None, "y") == 2
    assert last_item.rank("never seen", "z") == 0


def test_pairs_are_bounded_and_frequent_ones_survive() -> None:
    popularity = RankedCounts()
    last_item = LastItem(popularity, max_pairs=100)
    for n in range(1000):
        for item in ["often", f"once{n}"]:
            popularity.add(item)
            last_item.observe("p", item)
        assert last_item.pairs <= 100
    assert last_item.rank("p", "often") == 1
