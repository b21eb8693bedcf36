"""The predict graph: the rank of an item over the whole catalogue, and the outputs of the heads."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from encoder.errors import BundleError
from encoder.model.heads import Heads
from export.graphs.builder import GraphBuilder, float_rows, integers
from export.graphs.heads import add_heads, head_widths

FLOAT_INTEGERS = 2**24  # up to here, float32 adds ones exactly


def predict_graph(
    item_vectors: NDArray[np.float32],
    heads: Heads | None = None,
    *,
    unscored_width: int = 0,
    is_for_gpu: bool = False,
    in_float16: bool = False,
) -> bytes:
    """predict.onnx: representation (B, R) float32, item (B,) int64 -> rank (B,) int32, 0 for item 0.

    With heads, the graph also has action_probability (B, A + 1) and time_mixture (B, 3K), float32, which depend on the
    representation alone.

    item_vectors: (N, D) of items 1..N. unscored_width: R - D, the last components of a representation, which do not
    score. is_for_gpu: count with operators that have a CUDA kernel, which limits the catalogue to 16 million items.
    in_float16: score in float16, which takes half of the bytes and changes ranks (see `export.runtime.float16_ranks`).
    Raises BundleError where a GPU cannot count the catalogue.
    """
    count = len(item_vectors)
    if is_for_gpu and count > FLOAT_INTEGERS:
        raise BundleError(f"{count} items cannot be counted in float32: graphs for a GPU take up to {FLOAT_INTEGERS}")
    graph = GraphBuilder()
    _add_constants(graph, item_vectors, in_float16)
    _add_scores(graph, item_vectors.shape[1], unscored_width, in_float16)
    _add_rank(graph, count, is_for_gpu)
    outputs = [helper.make_tensor_value_info("rank", TensorProto.INT32, ["batch"])]
    if heads is not None:
        add_heads(graph, heads)
        outputs += [float_rows(name, width) for name, width in head_widths(heads).items()]
    representation = float_rows("representation", item_vectors.shape[1] + unscored_width)
    return graph.serialized("predict", [representation, integers("item")], outputs)


def _add_constants(graph: GraphBuilder, item_vectors: NDArray[np.float32], in_float16: bool) -> None:
    graph.constant("item_vectors", item_vectors.T.astype(np.float16) if in_float16 else item_vectors.T)
    graph.constant("zero", np.array(0, np.int64))
    graph.constant("one", np.array(1, np.int64))
    graph.constant("columns", np.array([1], np.int64))
    graph.constant("catalogue", np.array(len(item_vectors), np.int32))
    graph.constant("no_rank", np.array(0, np.int32))


def _add_scores(graph: GraphBuilder, scored_width: int, unscored_width: int, in_float16: bool) -> None:
    """Add the scores (B, N) of all items."""
    scoring = "representation"
    if unscored_width:
        widths = graph.constant("parts", np.array([scored_width, unscored_width], np.int64))
        scoring = graph.add_many("Split", [scoring, widths], ["scoring", "beside"], axis=1)[0]
    if in_float16:
        scoring = graph.add("Cast", [scoring], "representation_in_half", to=TensorProto.FLOAT16)
    graph.add("MatMul", [scoring, "item_vectors"], "scores")


def _add_rank(graph: GraphBuilder, count: int, is_for_gpu: bool) -> None:
    """Add the rank (B,) of the item, from the scores.

    Ties count against the model. The item's own score is read from the same product as all scores, so that equal
    vectors tie exactly. The rank is N minus the number of items that score lower. So a representation that is not a
    number gets the worst rank, not the best.
    """
    known = graph.add("Max", [graph.add("Sub", ["item", "one"], "position"), "zero"], "known")
    column = graph.add("Unsqueeze", [known, "columns"], "column")
    target = graph.add("GatherElements", ["scores", column], "target", axis=1)
    lower = graph.add("Less", ["scores", target], "lower")
    below = _sum_on_gpu(graph, lower) if is_for_gpu else _sum_on_cpu(graph, lower, count)
    beaten = graph.add("Squeeze", [below, "columns"], "beaten")
    rank = graph.add("Sub", ["catalogue", beaten], "rank_known")
    unknown = graph.add("Equal", ["item", "zero"], "unknown")
    graph.add("Where", [unknown, "no_rank", rank], "rank")


def _sum_on_cpu(graph: GraphBuilder, flags: str, count: int) -> str:
    """Add (B, 1) int32, the number of (B, N) flags that are set.

    The sum is an integer product of bytes, which moves a quarter of the memory of a float sum. The ones are signed,
    because processors multiply unsigned bytes by signed bytes; with unsigned ones the sum took three times as long. See
    docs/decisions.md#ranks-by-signed-bytes
    """
    graph.constant("ones", np.ones((count, 1), np.int8))
    unsigned = graph.add("Cast", [flags], "flags", to=TensorProto.UINT8)
    return graph.add("MatMulInteger", [unsigned, "ones"], "below")


def _sum_on_gpu(graph: GraphBuilder, flags: str) -> str:
    """Add the same number by a float sum.

    CUDA has no kernel for the product of unsigned bytes, so the CPU would take over that node with every score. See
    docs/decisions.md#float-sums-on-cuda
    """
    floats = graph.add("Cast", [flags], "flags", to=TensorProto.FLOAT)
    total = graph.add("ReduceSum", [floats, "columns"], "total")
    return graph.add("Cast", [total], "below", to=TensorProto.INT32)
