"""A list keeps its length and its best items, and fresh items take the last places of others."""

import numpy as np

from streams.serve.scoring.fresh_items import with_fresh
from streams.serve.scoring.scorer import Scored


def scored(items: list[int], scores: list[float]) -> Scored:
    dot = np.array(scores, np.float32)
    one, none = np.ones(len(items), np.float32), np.zeros(len(items), np.float32)
    return Scored(np.array(items, np.int64), dot - 1, one, none, none)


BEST = scored([1, 2, 3, 4, 5], [9, 8, 7, 6, 5])


def test_fresh_items_take_the_places_of_the_last_ones_that_are_not_fresh() -> None:
    found = with_fresh(BEST, scored([5, 8], [5, 2]))
    assert found.item.tolist() == [1, 2, 3, 5, 8]
    assert (found.dot + found.repeat).tolist() == [9, 8, 7, 5, 2]


def test_without_new_fresh_items_the_list_stays() -> None:
    for fresh in (scored([], []), scored([2, 4], [8, 6])):
        assert with_fresh(BEST, fresh).item.tolist() == [1, 2, 3, 4, 5]
