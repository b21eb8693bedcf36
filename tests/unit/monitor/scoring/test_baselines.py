"""Ranks of the baselines against a naive definition that sorts nothing and shares no code with the baselines."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.scoring.baselines import MAX_RANK, LastItemBaseline
from streams.monitor.scoring.ranked_counts import RankedCounts

items = st.sampled_from([f"i{n}" for n in range(40)])
histories = st.lists(st.tuples(st.none() | st.sampled_from(["a", "b"]), items), max_size=300)


def naive_last_item_rank(pairs: Counter, popularity: Counter, previous: str | None, item: str) -> int:
    if not popularity[item]:
        return 0

    def score(other: str) -> tuple[int, int]:
        return (pairs[previous, other] if previous is not None else 0, popularity[other])

    rank = sum(score(other) >= score(item) for other in popularity)
    return rank if rank <= MAX_RANK else 0


@given(histories)
def test_ranks_equal_the_naive_definition_before_each_event(history: list[tuple[str | None, str]]) -> None:
    popularity = RankedCounts()
    last_item = LastItemBaseline(popularity)
    naive_pairs: Counter = Counter()
    naive_popularity: Counter = Counter()
    for previous, item in history:
        count = naive_popularity[item]
        expected = sum(other >= count for other in naive_popularity.values()) if count else 0
        assert popularity.rank(item) == expected
        assert last_item.rank(previous, item) == naive_last_item_rank(naive_pairs, naive_popularity, previous, item)
        popularity.add(item)
        last_item.observe(previous, item)
        naive_popularity[item] += 1
        if previous is not None:
            naive_pairs[previous, item] += 1
    assert last_item.pairs == len(naive_pairs)


def test_an_unknown_last_item_gives_the_popularity_ranking() -> None:
    popularity = RankedCounts()
    last_item = LastItemBaseline(popularity)
    for item in ["x", "x", "y"]:
        popularity.add(item)
    assert last_item.rank("never seen", "x") == 1
    assert last_item.rank(None, "y") == 2
    assert last_item.rank("never seen", "z") == 0


def test_the_number_of_pairs_is_bounded_and_frequent_pairs_survive() -> None:
    popularity = RankedCounts()
    last_item = LastItemBaseline(popularity, max_pairs=100)
    for n in range(1000):
        for item in ["often", f"once{n}"]:
            popularity.add(item)
            last_item.observe("p", item)
        assert last_item.pairs <= 100
    assert last_item.rank("p", "often") == 1
