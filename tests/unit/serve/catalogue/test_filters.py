"""A mask is True for exactly the items that pass, whatever happened to the catalogue before."""

import random

import pytest

from streams.contracts.catalogue_items import CatalogueItem
from streams.serve.catalogue import Catalogue
from streams.serve.catalogue.filters import DAY_MS, MASKS_KEPT, NO_FILTERS, Filters, ItemMasks

NOW_MS = 30_000_000 * 60_000  # a whole minute
INDEX = {f"item-{number}": number for number in range(1, 101)}


def passing(masks: ItemMasks, filters: Filters, now_ms: int = NOW_MS) -> set[str]:
    mask = masks.allowed(filters, now_ms)
    assert mask is not None
    assert mask.shape == (101,)
    assert not mask[0]
    return {item_id for item_id, index in INDEX.items() if mask[index]}


def random_item(draw: random.Random) -> CatalogueItem:
    return CatalogueItem(
        f"item-{draw.randrange(1, 150)}",  # the bundle knows 100 of them
        category=draw.choice([None, "a", "b", "c"]),
        price=draw.choice([None, 0.0, 5.0, 10.0, 20.0]),
        available=draw.random() < 0.8,
        first_seen_ms=draw.choice([None, 0, NOW_MS - 2 * DAY_MS, NOW_MS - DAY_MS, NOW_MS + DAY_MS]),
    )


def does_pass(item: CatalogueItem, filters: Filters) -> bool:
    """Say by the documentation whether an item passes."""
    if not item.available or (filters.categories and item.category not in filters.categories):
        return False
    if filters.price_min is not None and (item.price is None or item.price < filters.price_min):
        return False
    if filters.price_max is not None and (item.price is None or item.price > filters.price_max):
        return False
    if filters.new_days is not None:
        return item.first_seen_ms is not None and item.first_seen_ms >= NOW_MS - filters.new_days * DAY_MS
    return True


FILTERS = [
    NO_FILTERS,
    Filters(("a",)),
    Filters(("a", "c", "unknown")),
    Filters(("unknown",)),
    Filters(price_min=5.0),
    Filters(price_max=10.0),
    Filters(price_min=10.0, price_max=5.0),
    Filters(new_days=1),
    Filters(("b",), 0.0, 10.0, 2),
]


@pytest.mark.parametrize("seed", range(3))
def test_masks_follow_every_change(seed: int) -> None:
    draw, catalogue, expected = random.Random(seed), Catalogue(), dict[str, CatalogueItem]()
    masks = ItemMasks(catalogue, INDEX)
    for _ in range(150):
        for _ in range(draw.randrange(1, 8)):
            item = random_item(draw)
            if draw.random() < 0.2:
                catalogue.remove(item.item_id)
                expected.pop(item.item_id, None)
            else:
                catalogue.put(item)
                expected[item.item_id] = item
        for filters in draw.sample(FILTERS, 3):
            wanted = {item_id for item_id, item in expected.items() if item_id in INDEX and does_pass(item, filters)}
            if expected:
                assert passing(masks, filters) == wanted, filters


def test_an_empty_catalogue_allows_everything_without_filters_and_nothing_with_filters() -> None:
    masks = ItemMasks(Catalogue(), INDEX)
    assert masks.allowed(NO_FILTERS, NOW_MS) is None
    assert passing(masks, Filters(price_min=0.0)) == set()


def test_a_mask_is_kept_until_the_catalogue_changes_and_few_are_kept() -> None:
    catalogue = Catalogue()
    catalogue.put(CatalogueItem("item-1", price=1.0))
    masks = ItemMasks(catalogue, INDEX)
    first = masks.allowed(NO_FILTERS, NOW_MS)
    assert masks.allowed(NO_FILTERS, NOW_MS + DAY_MS) is first
    for number in range(MASKS_KEPT - 1):
        masks.allowed(Filters(price_min=float(number)), NOW_MS)
    assert masks.allowed(NO_FILTERS, NOW_MS) is first  # used last, so another mask goes
    masks.allowed(Filters(price_max=1.0), NOW_MS)
    assert masks.allowed(NO_FILTERS, NOW_MS) is first
    catalogue.put(CatalogueItem("item-2"))
    assert passing(masks, NO_FILTERS) == {"item-1", "item-2"}


def test_an_item_is_no_longer_new_when_its_days_are_over() -> None:
    catalogue = Catalogue()
    catalogue.put(CatalogueItem("item-1", first_seen_ms=NOW_MS))
    masks = ItemMasks(catalogue, INDEX)
    assert passing(masks, Filters(new_days=1), NOW_MS + DAY_MS - 1) == {"item-1"}
    assert passing(masks, Filters(new_days=1), NOW_MS + DAY_MS + 60_000) == set()


def test_names_are_those_of_the_catalogue() -> None:
    import numpy as np

    catalogue = Catalogue()
    masks = ItemMasks(catalogue, INDEX)
    assert masks.names(np.array([1, 2])) == [None, None]
    catalogue.put(CatalogueItem("item-2", name="Two"))
    catalogue.put(CatalogueItem("item-3"))
    assert masks.names(np.array([3, 2, 1])) == [None, "Two", None]
    catalogue.remove("item-2")
    assert masks.names(np.array([2])) == [None]
