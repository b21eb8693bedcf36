"""The catalogue in memory gives back what was put, within its bound."""

import random

import pytest

from streams.contracts.catalogue_items import CatalogueItem
from streams.serve.catalogue import Catalogue

WHOLE = CatalogueItem(
    "a", "A", "shoes", "Aurora", price=0.1, image_url="https://shop/a", available=False, first_seen_ms=5
)


@pytest.mark.parametrize("item", [WHOLE, CatalogueItem("b"), CatalogueItem("ü", name="", price=0.0, first_seen_ms=0)])
def test_an_item_comes_back_as_it_was_put(item: CatalogueItem) -> None:
    catalogue = Catalogue()
    assert catalogue.put(item)
    assert catalogue.get(item.item_id) == item
    assert catalogue.get("other") is None
    assert catalogue.items == 1


def test_after_many_changes_the_catalogue_is_that_of_a_dictionary() -> None:
    draw, catalogue, expected = random.Random(1), Catalogue(), dict[str, CatalogueItem]()
    for number in range(20_000):
        item_id = f"item-{draw.randrange(3_000)}"
        if draw.random() < 0.3:
            catalogue.remove(item_id)
            expected.pop(item_id, None)
        else:
            item = CatalogueItem(item_id, name=f"name {number}", category=f"c{number % 7}", price=float(number))
            catalogue.put(item)
            expected[item_id] = item
    assert catalogue.items == len(expected)
    assert {item_id: catalogue.get(item_id) for item_id in catalogue.item_ids} == {
        item_id: expected.get(item_id) for item_id in catalogue.item_ids
    }
    assert set(expected) <= set(catalogue.item_ids)


def test_a_full_catalogue_leaves_new_items_out_and_still_changes_the_others() -> None:
    catalogue = Catalogue(most_bytes=100_000)
    names = [f"item-{number}" for number in range(1_000)]
    taken = [name for name in names if catalogue.put(CatalogueItem(name, name="x" * 50))]
    assert 100 < len(taken) < 400
    assert taken == names[: len(taken)]
    assert catalogue.left_out == len(names) - len(taken)
    assert catalogue.put(CatalogueItem(taken[0], available=False))
    assert catalogue.get(names[-1]) is None
    for _ in range(100):  # what a removed item held is free again
        catalogue.remove(taken[1])
        assert catalogue.put(CatalogueItem(taken[1], name="x" * 50))


def test_a_full_catalogue_still_takes_the_columns_of_an_item_that_it_has() -> None:
    catalogue = Catalogue(most_bytes=1_000)
    while catalogue.put(CatalogueItem(f"item-{catalogue.items}", name="x", category="shoes", price=1.0)):
        pass
    version, items, left_out = catalogue.version, catalogue.items, catalogue.left_out
    assert not catalogue.put(
        CatalogueItem("item-0", name="x" * 900, category="hats", price=2.0, available=False, first_seen_ms=7)
    )
    assert catalogue.get("item-0") == CatalogueItem(
        "item-0", name="x", category="shoes", price=2.0, available=False, first_seen_ms=7
    )
    assert not catalogue.put(CatalogueItem("item-1", name="x" * 900, category=None))
    assert catalogue.get("item-1") == CatalogueItem("item-1", name="x")
    assert (catalogue.items, catalogue.left_out) == (items, left_out + 2)
    assert catalogue.version > version
    catalogue.remove("item-0")
    assert not catalogue.put(CatalogueItem("item-0", name="x" * 900))
    assert catalogue.get("item-0") is None, "a removed item is as a new one"


def test_the_version_changes_with_every_change_alone() -> None:
    catalogue = Catalogue()
    catalogue.put(WHOLE)
    version = catalogue.version
    catalogue.remove("unknown")
    assert catalogue.version == version
    catalogue.remove("a")
    assert catalogue.version > version
