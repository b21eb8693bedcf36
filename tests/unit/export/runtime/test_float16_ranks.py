"""Ranks in float16: their loss is that of a GPU's rounding, and only an export with --half has them."""

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
from export.runtime.providers import CPU
from export.runtime.resident_states import ResidentStates
from tests.support.bundles import random_queries, tiny_bundle
from tests.support.graphs.cuda import CUDA_OPERATORS
from tests.tools import gpu_check
from tests.tools.gpu_check import Cost, Peak

ITEMS, WIDTH = 400, 32


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("float16") / "b", ITEMS, for_gpu=True, in_float16=True)


class WithoutRecentItems:
    recent_places = 0


def random_vectors(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, WIDTH) representations and (ITEMS, WIDTH) item vectors, float32."""
    rng = np.random.default_rng(seed)
    representations = rng.normal(size=(n, WIDTH)).astype(np.float32)
    return representations, rng.normal(size=(ITEMS, WIDTH)).astype(np.float32)


def limits(representations: np.ndarray, vectors: np.ndarray, item: np.ndarray) -> np.ndarray:
    """(2, n): the best and the worst rank of each item."""

    class Items:
        item_vectors = np.concatenate([np.zeros((1, WIDTH), np.float32), vectors])
        manifest = WithoutRecentItems

    return np.stack(float16_rank_limits(Items, representations, item))


def test_a_score_is_rounded_as_on_a_gpu() -> None:
    """Computed here number by number: float16 factors, their sum in float32, and the sum rounded to float16."""
    representations, vectors = random_vectors(3)
    scores = round_to_float16(round_to_float16(representations) @ round_to_float16(vectors).T)
    for user in range(3):
        for item in range(0, ITEMS, 37):
            total = np.float32(0)
            for one, other in zip(np.float16(representations[user]), np.float16(vectors[item]), strict=True):
                total += np.float32(one) * np.float32(other)
            assert abs(scores[user, item] - np.float16(total)) <= np.spacing(np.float16(abs(total)))


def test_the_loss_is_counted_over_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    representations, vectors = random_vectors(500)
    found = float16_rank_differences(representations, vectors)
    for loss in found.values():
        assert loss["ranks"] == 500
        assert 0 < loss["differ_share"] < 1
        assert 0 < loss["mean_abs_difference"] <= loss["max_abs_difference"] < 20
        assert 0 <= loss["crosses_20_share"] <= loss["differ_share"]
    assert found["best_items"]["crosses_20_share"] > 0, "ranks near 20 can cross it"
    monkeypatch.setattr(float16_ranks, "round_to_float16", lambda values: values)
    for loss in float16_rank_differences(representations, vectors).values():
        assert [value for name, value in loss.items() if name != "ranks"] == [0] * 5, "no loss without rounding"


def test_items_that_float16_cannot_tell_apart_tie_against_the_model() -> None:
    representations = np.ones((1, 2), np.float32)
    vectors = np.array([[1, 0], [1 + 2.0**-12, 0], [1 - 2.0**-13, 0]], np.float32)  # all are 1 in float16
    scores = representations @ vectors.T, np.ones((1, 3), np.float32)
    exact, half = (float16_ranks._ranks(some, np.arange(1)).tolist() for some in scores)
    assert (exact, half) == ([2], [3])
    loss = float16_rank_differences(np.repeat(representations, 99, 0), vectors)["any_item"]
    assert loss["max_abs_difference"] == 2
    assert loss["mean_difference"] == loss["mean_abs_difference"] > 0, "no rank gets better"


def test_the_size_of_a_tile_changes_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    representations, vectors = random_vectors(64)
    item = np.arange(64)
    at_once = limits(representations, vectors, item)
    monkeypatch.setattr(float16_ranks, "TILE_SCORES", 7 * ITEMS)
    np.testing.assert_array_equal(at_once, limits(representations, vectors, item))


def test_the_limits_hold_ranks_in_float16_and_few_others() -> None:
    representations, vectors = random_vectors(300, seed=1)
    item = np.arange(300) % (ITEMS + 1)
    best, worst = limits(representations, vectors, item)
    scores = round_to_float16(round_to_float16(representations) @ round_to_float16(vectors).T)
    ranks = np.where(item == 0, 0, float16_ranks._ranks(scores, np.maximum(item - 1, 0)))
    assert ((best <= ranks) & (ranks <= worst)).all()
    is_known = item > 0
    assert (worst - best)[is_known].mean() < ITEMS / 20, "wide limits would prove nothing"
    other = float16_ranks._ranks(-scores, np.maximum(item - 1, 0))
    assert ((other < best) | (other > worst))[is_known].mean() > 0.9


def test_the_manifest_has_the_loss_where_ranks_are_in_float16(bundle: Bundle, tmp_path: Path) -> None:
    loss = bundle.manifest.parity["half_ranks"]
    assert set(loss) == {"any_item", "best_items"}
    assert loss["any_item"]["ranks"] > 1_000
    assert 0 < loss["best_items"]["differ_share"] < 1
    assert bundle.gpu_ranks_in_float16
    plain = tiny_bundle(tmp_path / "plain", ITEMS, for_gpu=True)
    assert not plain.gpu_ranks_in_float16
    half_bytes, float_bytes = ((one.path / "gpu_predict.onnx").stat().st_size for one in (bundle, plain))
    assert float_bytes - half_bytes > ITEMS * WIDTH * 2 * 0.9, "the item vectors take half of the bytes"
    assert bundle.manifest.files["predict.onnx"] == plain.manifest.files["predict.onnx"]


def test_the_graph_scores_in_float16_with_operators_that_have_a_cuda_kernel(bundle: Bundle) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load(bundle.path / "gpu_predict.onnx")).graph
    assert {node.op_type for node in graph.node} <= CUDA_OPERATORS
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    assert types["scores"] == types["target"] == onnx.TensorProto.FLOAT16


def test_on_the_cpu_provider_ranks_are_within_the_limits(bundle: Bundle) -> None:
    found = gpu_check.parity(bundle, ResidentStates(bundle, 300, on_cpu=True), 300, waves=10)
    assert max(found.state, found.representation, found.heads) <= 1e-5
    assert found.ranks_looked_at > 500
    assert found.holds(ITEMS), found
    assert not found._replace(ranks_outside=1).holds(ITEMS)


def test_the_cost_of_a_rank_counts_half_of_the_bytes_and_the_tensor_cores(bundle: Bundle) -> None:
    cost = gpu_check.cost(onnx.load(bundle.path / "gpu_predict.onnx").graph, 0)
    assert cost.half_flops == 2 * ITEMS * WIDTH
    heads_bytes = cost.flops // 2 * 4
    assert cost.batch_bytes == ITEMS * WIDTH * 2 + heads_bytes
    assert Cost(0, 0, 0, half_flops=100).roofline_s(10, Peak(1.0, 1.0, "", 100.0)) == 10.0


def test_the_option_half_without_gpu_is_refused(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(InputError, match="give --gpu as well"):
        command.run(parser.parse_args([str(tmp_path), "--out", str(tmp_path / "b"), "--half"]))


def test_the_cpu_provider_does_not_round_to_float16(bundle: Bundle) -> None:
    """This is why numpy rounds. When a later ONNX Runtime rounds, the comparison should use ONNX Runtime instead."""
    query, item = random_queries(bundle, 200), np.arange(200) + 1
    query[:, bundle.manifest.representation_width :] = 0  # no recent items
    session = ort.InferenceSession(bundle.path / "gpu_predict.onnx", providers=[CPU])
    (rank,) = session.run(["rank"], {"query": query, "item": item})
    vectors = round_to_float16(np.asarray(bundle.item_vectors[1:]))
    representation = query[:, : bundle.manifest.representation_width]
    scores = round_to_float16(round_to_float16(representation) @ vectors.T)
    assert (rank != float16_ranks._ranks(scores, item - 1)).any()
