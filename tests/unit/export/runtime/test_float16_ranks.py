"""Ranks in float16: what is said of them is what a GPU's rounding does, and only who asks for them has them."""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from encoder.errors import InputError
from export import command
from export.runtime import float16_ranks
from export.runtime.bundle import Bundle
from export.runtime.float16_ranks import float16_rank_differences, float16_rank_limits, round_to_float16
from export.runtime.resident_states import ResidentStates
from tests.support.bundles import tiny_bundle
from tests.support.cuda import CUDA_OPERATORS
from tests.tools.gpu_check import Cost, Peak, cost, parity

ITEMS, WIDTH = 400, 32


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("half") / "b", ITEMS, for_gpu=True, in_float16=True)


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, WIDTH)).astype(np.float32),
        rng.normal(size=(ITEMS, WIDTH)).astype(np.float32),
    )


def test_a_score_is_rounded_as_a_gpu_does_it_one_by_one() -> None:
    """Factors to float16, their products summed in float32, the sum to float16: here in plain scalars."""
    representation, vectors = drawn(3)
    scores = round_to_float16(round_to_float16(representation) @ round_to_float16(vectors).T)
    for user in range(3):
        for item in range(0, ITEMS, 37):
            total = np.float32(0)
            for one, other in zip(np.float16(representation[user]), np.float16(vectors[item]), strict=True):
                total += np.float32(one) * np.float32(other)
            assert abs(scores[user, item] - np.float16(total)) <= np.spacing(np.float16(abs(total)))


def test_what_is_lost_is_counted_rank_by_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    representation, vectors = drawn(500)
    found = float16_rank_differences(representation, vectors)
    for lost in found.values():
        assert lost["ranks"] == 500
        assert 0 < lost["differ_share"] < 1
        assert 0 < lost["mean_abs_difference"] <= lost["max_abs_difference"] < 20
        assert 0 <= lost["crosses_20_share"] <= lost["differ_share"]
    assert found["best_items"]["crosses_20_share"] > 0, "near rank 20 it can be crossed"
    monkeypatch.setattr(float16_ranks, "round_to_float16", lambda values: values)
    for lost in float16_rank_differences(representation, vectors).values():
        assert [value for name, value in lost.items() if name != "ranks"] == [0] * 5, "without rounding nothing is"


def test_items_that_float16_cannot_tell_apart_tie_against_the_model() -> None:
    representation = np.ones((1, 2), np.float32)
    vectors = np.array([[1, 0], [1 + 2.0**-12, 0], [1 - 2.0**-13, 0]], np.float32)  # all of them 1 in float16
    of_both = representation @ vectors.T, np.ones((1, 3), np.float32)
    exact, half = (float16_ranks._ranks(scores, np.arange(1)) for scores in of_both)
    assert (exact.tolist(), half.tolist()) == ([2], [3])
    lost = float16_rank_differences(np.repeat(representation, 99, 0), vectors)["any_item"]
    assert lost["max_abs_difference"] == 2
    assert lost["mean_difference"] == lost["mean_abs_difference"] > 0, "never for it"


def test_the_size_of_a_tile_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """But which items are drawn, which is why all of them are of one state here."""
    representation, vectors = drawn(64)
    item = np.arange(64)
    expected = [_bounds(representation, vectors, item)]
    monkeypatch.setattr(float16_ranks, "SCORES", 7 * ITEMS)
    expected.append(_bounds(representation, vectors, item))
    np.testing.assert_array_equal(*expected)


def _bounds(representation: np.ndarray, vectors: np.ndarray, item: np.ndarray) -> np.ndarray:
    class Items:
        item_vectors = np.concatenate([np.zeros((1, WIDTH), np.float32), vectors])

    return np.stack(float16_rank_limits(Items, representation, item))


def test_what_float16_allows_holds_its_ranks_and_not_others() -> None:
    representation, vectors = drawn(300, seed=1)
    item = np.arange(300) % (ITEMS + 1)
    best, worst = _bounds(representation, vectors, item)
    scores = round_to_float16(round_to_float16(representation) @ round_to_float16(vectors).T)
    ranks = np.where(item == 0, 0, float16_ranks._ranks(scores, np.maximum(item - 1, 0)))
    assert ((best <= ranks) & (ranks <= worst)).all()
    known = item > 0
    assert (worst - best)[known].mean() < ITEMS / 20, "bounds that allow anything prove nothing"
    other = float16_ranks._ranks(-scores, np.maximum(item - 1, 0))
    assert ((other < best) | (other > worst))[known].mean() > 0.9


def test_the_manifest_says_what_float16_loses_and_only_where_it_is_used(bundle: Bundle, tmp_path: Path) -> None:
    lost = bundle.manifest.parity["half_ranks"]
    assert set(lost) == {"any_item", "best_items"}
    assert lost["any_item"]["ranks"] > 1_000
    assert 0 < lost["best_items"]["differ_share"] < 1
    assert bundle.gpu_ranks_in_float16
    plain = tiny_bundle(tmp_path / "plain", ITEMS, for_gpu=True)
    assert not plain.gpu_ranks_in_float16
    sizes = [(of.path / "gpu_predict.onnx").stat().st_size for of in (bundle, plain)]
    assert sizes[1] - sizes[0] > ITEMS * WIDTH * 2 * 0.9, "the matrix takes half"
    assert (bundle.path / "predict.onnx").read_bytes() == (plain.path / "predict.onnx").read_bytes()


def test_the_graph_is_of_operators_with_a_cuda_kernel_and_scores_in_float16(bundle: Bundle) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load(bundle.path / "gpu_predict.onnx")).graph
    assert {node.op_type for node in graph.node} <= CUDA_OPERATORS
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    assert types["scores"] == types["target"] == onnx.TensorProto.FLOAT16


def test_on_the_cpu_provider_the_bindings_hold_and_ranks_are_within_what_float16_allows(bundle: Bundle) -> None:
    found = parity(bundle, ResidentStates(bundle, 300, on_cpu=True), 300, waves=10)
    assert max(found.state, found.representation, found.heads) <= 1e-5
    assert found.ranks_looked_at > 500
    assert found.holds(ITEMS), found
    assert not found._replace(ranks_outside=1).holds(ITEMS)


def test_the_cost_of_a_rank_counts_half_the_bytes_and_the_tensor_cores(bundle: Bundle) -> None:
    of = cost(onnx.load(bundle.path / "gpu_predict.onnx").graph, 0)
    assert of.half_flops == 2 * ITEMS * WIDTH
    heads_bytes = of.flops // 2 * 4
    assert of.batch_bytes == ITEMS * WIDTH * 2 + heads_bytes
    assert Cost(0, 0, 0, half_flops=100).roofline_s(10, Peak(1.0, 1.0, "", 100.0)) == 10.0


def test_half_without_gpu_is_refused(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(InputError, match="give --gpu as well"):
        command.run(parser.parse_args([str(tmp_path), "--out", str(tmp_path / "b"), "--half"]))


def test_the_cpu_provider_drops_the_rounding_which_is_why_numpy_does_it(bundle: Bundle) -> None:
    """Where a later ONNX Runtime rounds, the comparison should ask it instead."""
    representation = (
        np.random.default_rng(0).normal(size=(200, bundle.manifest.representation_width)).astype(np.float32)
    )
    item = np.arange(200) + 1
    session = ort.InferenceSession(bundle.path / "gpu_predict.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(["rank"], {"representation": representation, "item": item})
    vectors = round_to_float16(np.asarray(bundle.item_vectors[1:]))
    scores = round_to_float16(round_to_float16(representation) @ vectors.T)
    assert (got != float16_ranks._ranks(scores, item - 1)).any()
