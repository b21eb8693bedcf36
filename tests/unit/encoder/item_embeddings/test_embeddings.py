"""The preparation of item embeddings: one scale for every embedder, and no more components than needed."""

import numpy as np
import pytest

from encoder.errors import InputError
from encoder.item_embeddings.embeddings import LENGTH, MAX_COMPONENTS, ItemEmbeddings, Preparation

ITEMS = [f"i{n}" for n in range(300)]
ALL = np.arange(len(ITEMS))


def random_embeddings(width: int = 12) -> ItemEmbeddings:
    """Return embeddings whose components have very different sizes, and a mean far from 0."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(len(ITEMS), width)) * np.geomspace(1, 100, width) + 50
    return ItemEmbeddings("text", ITEMS, vectors.astype(np.float32))


def prepared(embeddings: ItemEmbeddings) -> np.ndarray:
    return Preparation.fit(embeddings, ITEMS).apply(embeddings.vectors, ALL)


def test_prepared_embeddings_have_the_mean_0_the_usual_length_and_keep_their_angles() -> None:
    found, raw = prepared(random_embeddings()), random_embeddings().vectors.astype(np.float64)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.sqrt((found**2).sum(axis=1).mean()), LENGTH, rtol=1e-4)
    centered = raw - raw.mean(axis=0)
    expected = centered @ centered.T * LENGTH**2 / (centered**2).sum(axis=1).mean()
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-3)


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e3)])
def test_the_scale_and_the_mean_of_an_embedder_do_not_matter(factor: float, shift: float) -> None:
    one = random_embeddings()
    other = ItemEmbeddings("text", ITEMS, (one.vectors.astype(np.float64) * factor + shift).astype(np.float32))
    expected, found = prepared(one), prepared(other)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=0.02)


def test_the_components_with_the_largest_variance_are_kept() -> None:
    random = np.random.default_rng(1)
    width = MAX_COMPONENTS + 30
    sizes = np.where(np.arange(width) < MAX_COMPONENTS, 10, 0.1)
    embeddings = ItemEmbeddings("text", ITEMS, (random.normal(size=(len(ITEMS), width)) * sizes).astype(np.float32))
    found = Preparation.fit(embeddings, ITEMS).components
    assert found.shape == (width, MAX_COMPONENTS)
    assert np.abs(found[MAX_COMPONENTS:]).sum() < 0.05 * np.abs(found).sum()


def test_components_that_say_nothing_are_left_out() -> None:
    vectors = random_embeddings().vectors
    repeated = ItemEmbeddings("text", ITEMS, np.concatenate([vectors, vectors, np.ones_like(vectors)], axis=1))
    assert Preparation.fit(repeated, ITEMS).components.shape == (36, 12)


def test_only_training_items_decide_and_rows_are_chosen_by_id() -> None:
    embeddings = random_embeddings()
    some = ITEMS[50:250]
    alone = ItemEmbeddings("text", some, embeddings.vectors[50:250])
    one, other = Preparation.fit(embeddings, ["unknown", *some[::-1]]), Preparation.fit(alone, some)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-5)
    np.testing.assert_allclose(np.abs(one.components), np.abs(other.components), atol=1e-5)
    assert embeddings.rows(["i7", "unknown", "i3"]).tolist() == [7, -1, 3]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["unknown"], r"item embeddings 'text': 0 of the 1 training items have embeddings"),
        (["i0", "i1", "x"], r"item embeddings 'text': 2 of the 3 training items have embeddings, and .* all equal"),
    ],
)
def test_embeddings_that_tell_nothing_are_refused(items: list[str], message: str) -> None:
    equal = ItemEmbeddings("text", ITEMS, np.full((len(ITEMS), 4), 0.1, np.float32))
    with pytest.raises(InputError, match=message):
        Preparation.fit(equal, items)


def test_the_fingerprint_depends_on_ids_and_numbers() -> None:
    one = random_embeddings()
    other_ids = ItemEmbeddings("text", ITEMS[::-1], one.vectors)
    other_numbers = ItemEmbeddings("text", ITEMS, one.vectors + 1)
    assert len({source.fingerprint() for source in (one, other_ids, other_numbers)}) == 3
    assert one.fingerprint() == random_embeddings().fingerprint()
