"""The descriptions of the simulated shop tell hidden variables of the shop, and the same seed gives the same ones."""

import numpy as np
import pytest

from encoder.data.simulator import Descriptions, Shop, describe


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(seed=7, items=1_000, users=50)


@pytest.fixture(scope="module")
def descriptions(shop: Shop) -> Descriptions:
    return describe(shop.catalogue, shop.seed)


def mean_products(vectors: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Return the mean cosine of two items of one group, and of two items of different groups."""
    centered = vectors - vectors.mean(axis=0)
    unit = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    products, is_same = unit @ unit.T, groups[:, None] == groups[None, :]
    np.fill_diagonal(is_same, False)
    is_other = groups[:, None] != groups[None, :]
    return float(products[is_same].mean()), float(products[is_other].mean())


def test_the_same_seed_gives_the_same_descriptions(shop: Shop, descriptions: Descriptions) -> None:
    again, other = describe(shop.catalogue, shop.seed), describe(shop.catalogue, 8)
    assert again.texts == descriptions.texts
    np.testing.assert_array_equal(again.text_vectors, descriptions.text_vectors)
    np.testing.assert_array_equal(again.picture_vectors, descriptions.picture_vectors)
    assert not np.array_equal(other.text_vectors, descriptions.text_vectors)


def test_a_text_has_the_name_the_category_and_an_item_that_comes_before(shop: Shop, descriptions: Descriptions) -> None:
    catalogue = shop.catalogue
    followers, _ = catalogue.successors_of(np.arange(1_000))
    for item in range(0, 1_000, 50):
        text = descriptions.texts[item]
        assert text.startswith(catalogue.names[item])
        assert catalogue.categories[catalogue.category[item]].split(".")[1] in text
        before = np.flatnonzero((followers == item).any(axis=1))
        if len(before):
            assert any(f" {catalogue.names[other]}" in text.split("Goes with")[1] for other in before.tolist())


def test_vectors_tell_the_category_and_the_brand(shop: Shop, descriptions: Descriptions) -> None:
    for vectors, groups in (
        (descriptions.text_vectors, shop.catalogue.category),
        (descriptions.text_vectors, shop.catalogue.brand),
        (descriptions.picture_vectors, shop.catalogue.category),
    ):
        same, different = mean_products(vectors, groups)
        assert same > different + 0.15


def test_items_that_follow_the_same_item_have_similar_texts_beyond_their_category(
    shop: Shop, descriptions: Descriptions
) -> None:
    catalogue = shop.catalogue
    followers, _ = catalogue.successors_of(np.arange(1_000))
    vectors = descriptions.text_vectors.astype(np.float64)
    for names, of in ((catalogue.categories, catalogue.category), (catalogue.brands, catalogue.brand)):
        for group in range(len(names)):
            vectors[of == group] -= vectors[of == group].mean(axis=0)
    one, other = followers[:, 0], followers[:, 1]
    apart = one != other
    products = (vectors[one] * vectors[other]).sum(axis=1)[apart]
    chance = (vectors[one] * vectors[np.roll(other, 1)]).sum(axis=1)[apart]
    assert products.mean() > chance.mean() + 3 * (products.std() + chance.std()) / np.sqrt(apart.sum())


def test_pictures_tell_the_appeal(shop: Shop, descriptions: Descriptions) -> None:
    demand = np.log(shop.catalogue.popularity.probability)
    pictures = np.column_stack([descriptions.picture_vectors, np.ones(1_000)])
    fitted = pictures @ np.linalg.lstsq(pictures, demand, rcond=None)[0]
    assert np.corrcoef(fitted, demand)[0, 1] > 0.8
