"""The parts of a hybrid score are those that a loop computes, and a bundle keeps what they need."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from encoder.errors import BundleError
from encoder.metrics.hybrid.scores import DECAY, HYBRID_FILE, WEIGHTS, Hybrid, HybridWeights
from export.runtime.bundle import Bundle
from tests.support.bundles import hybrid_bundle, tiny_bundle

ITEMS = 40


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Random companions and features."""
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.choice(np.arange(1, ITEMS + 1), 6, replace=False)) for _ in range(ITEMS)]
    items = np.concatenate(rows).astype(np.int32)
    return {
        "starts": np.append(0, np.arange(ITEMS + 1) * 6),
        "items": items,
        "similarity": rng.random(len(items)).astype(np.float32),
        "category": np.append(0, rng.integers(0, 5, ITEMS)).astype(np.int32),
        "brand": np.append(0, rng.integers(0, 9, ITEMS)).astype(np.int32),
    }


def by_loops(arrays: dict[str, np.ndarray], context: list[int], item: int) -> tuple[float, float]:
    """Return co-occurrence and content of an item."""
    weight = [DECAY**place for place in range(len(context))]
    co = content = 0.0
    for one, place in zip(context, weight, strict=True):
        for at in range(arrays["starts"][one], arrays["starts"][one + 1]):
            co += place * float(arrays["similarity"][at]) * (arrays["items"][at] == item)
        for name in ("category", "brand"):
            code = arrays[name][one]
            content += place / sum(weight) * bool(code and code == arrays[name][item])
    return co, content


@pytest.mark.parametrize("context", [[], [3], [7, 3, 40, 1, 12]])
def test_parts_are_those_of_loops_for_given_items_and_for_all(
    arrays: dict[str, np.ndarray], context: list[int]
) -> None:
    hybrid, item = Hybrid.from_arrays(arrays), np.arange(1, ITEMS + 1)
    expected = np.array([by_loops(arrays, context, one) for one in item.tolist()])
    found = hybrid.context(context, HybridWeights(co=2.0, content=0.5))
    np.testing.assert_allclose(found.co_of(item), 2 * expected[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.content_of(item), expected[:, 1] / 2, rtol=1e-5, atol=1e-6)
    assert (expected != 0).any(axis=0).tolist() == [bool(context)] * 2
    scores = np.ones(ITEMS + 3, np.float32)  # a few places beyond the items
    found.add(scores)
    np.testing.assert_allclose(scores[:ITEMS], 1 + expected @ [2.0, 0.5], rtol=1e-5)
    assert scores[ITEMS:].tolist() == [1, 1, 1]


def test_a_bundle_keeps_counts_features_and_weights(tmp_path: Path) -> None:
    bundle = hybrid_bundle(tmp_path / "b", items=60, categories=4)
    assert bundle.manifest.hybrid == WEIGHTS
    assert bundle.hybrid is not None
    item = np.arange(1, 61)
    found = bundle.hybrid.context([6], HybridWeights(1.0, 1.0))
    assert found.content_of(item).tolist() == ((item % 5) == 1).tolist()
    assert found.co_of(item).any()
    assert Bundle.load(bundle.path).bundle_id == bundle.bundle_id
    content = bytearray((bundle.path / HYBRID_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle.path / HYBRID_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=r"hybrid\.npz does not match"):
        Bundle.load(bundle.path)
    (bundle.path / HYBRID_FILE).unlink()
    with pytest.raises(BundleError, match=r"hybrid\.npz is missing"):
        Bundle.load(bundle.path)


def test_a_bundle_without_counts_has_no_hybrid_parts_and_no_field_for_them(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", items=20)
    assert bundle.hybrid is None
    assert "hybrid" not in msgspec.json.decode((bundle.path / "manifest.json").read_bytes())
