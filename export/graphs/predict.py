"""The predict graph: the rank of an item over the whole catalogue, and the outputs of the heads."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from encoder.errors import BundleError
from encoder.model.heads import Heads
from export.graphs.builder import GraphBuilder, float_rows, integers
from export.graphs.heads import add_heads, head_widths

FLOAT = TensorProto.FLOAT
FLOAT_INTEGERS = 2**24  # up to here, float32 adds ones exactly


def predict_graph(
    item_vectors: NDArray[np.float32],
    heads: Heads | None = None,
    *,
    unscored_width: int = 0,
    places: int = 0,
    is_for_gpu: bool = False,
    in_float16: bool = False,
) -> bytes:
    """predict.onnx: query (B, R + 2K) float32, item (B,) int64 -> rank (B,) int32, 0 for item 0.

    A query is a representation, with the recent items and their scores behind it (`export.runtime.queries`). Without
    recent items, the input is named representation.

    With heads, the graph also has action_probability (B, A + 1) and time_mixture (B, 3K), float32, which depend on the
    representation alone.

    item_vectors: (N, D) of items 1..N. unscored_width: R - D, the last components of a representation, which do not
    score. places: K, the number of recent items. is_for_gpu: count with operators that have a CUDA kernel, which limits
    the catalogue to 16 million items. in_float16: score in float16, which takes half of the bytes and changes ranks
    (see `export.runtime.float16_ranks`).
    Raises BundleError where a GPU cannot count the catalogue.
    """
    count = len(item_vectors)
    if is_for_gpu and count > FLOAT_INTEGERS:
        raise BundleError(f"{count} items cannot be counted in float32: graphs for a GPU take up to {FLOAT_INTEGERS}")
    graph = GraphBuilder()
    _add_constants(graph, item_vectors, in_float16)
    scored_width, width = item_vectors.shape[1], item_vectors.shape[1] + unscored_width
    recent = _add_query_parts(graph, width, places) if places else None
    _add_scores(graph, scored_width, unscored_width, in_float16)
    _add_rank(graph, count, recent, is_for_gpu, in_float16)
    outputs = [helper.make_tensor_value_info("rank", TensorProto.INT32, ["batch"])]
    if heads is not None:
        add_heads(graph, heads)
        outputs += [float_rows(name, width) for name, width in head_widths(heads).items()]
    query = float_rows("query", width + 2 * places) if places else float_rows("representation", width)
    return graph.serialized("predict", [query, integers("item")], outputs)


def _add_constants(graph: GraphBuilder, item_vectors: NDArray[np.float32], in_float16: bool) -> None:
    graph.constant("item_vectors", item_vectors.T.astype(np.float16) if in_float16 else item_vectors.T)
    graph.constant("zero", np.array(0, np.int64))
    graph.constant("one", np.array(1, np.int64))
    graph.constant("columns", np.array([1], np.int64))
    graph.constant("catalogue", np.array(len(item_vectors), np.int32))
    graph.constant("no_rank", np.array(0, np.int32))


class _Recent(NamedTuple):
    """Names in the graph of the recent items and of what is added to their scores, both (B, K) float32."""

    item: str
    added: str


def _add_query_parts(graph: GraphBuilder, width: int, places: int) -> _Recent:
    """Add representation (B, R) and the recent items. width: R."""
    widths = graph.constant("query_widths", np.array([width, places, places], np.int64))
    _, item, added = graph.add_many("Split", ["query", widths], ["representation", "recent_item", "added"], axis=1)
    return _Recent(item, added)


def _add_scores(graph: GraphBuilder, scored_width: int, unscored_width: int, in_float16: bool) -> None:
    """Add the scores (B, N) of all items."""
    scoring = "representation"
    if unscored_width:
        widths = graph.constant("parts", np.array([scored_width, unscored_width], np.int64))
        scoring = graph.add_many("Split", [scoring, widths], ["scoring", "beside"], axis=1)[0]
    if in_float16:
        scoring = _in_half(graph, scoring, "representation_in_half")
    graph.add("MatMul", [scoring, "item_vectors"], "scores")


def _add_rank(graph: GraphBuilder, count: int, recent: _Recent | None, is_for_gpu: bool, in_float16: bool) -> None:
    """Add the rank (B,) of the item, from the scores.

    Ties count against the model. The item's own score is read from the same product as all scores, so that equal
    vectors tie exactly. The rank is N minus the number of items that score lower. So a representation that is not a
    number gets the worst rank, not the best.
    """
    known = graph.add("Max", [graph.add("Sub", ["item", "one"], "position"), "zero"], "known")
    column = graph.add("Unsqueeze", [known, "columns"], "column")
    target = graph.add("GatherElements", ["scores", column], "target", axis=1)
    if recent is not None:
        recent = recent if not in_float16 else recent._replace(added=_in_half(graph, recent.added, "added_in_half"))
        target = _add_own_score(graph, recent, target)
    lower = graph.add("Less", ["scores", target], "lower")
    below = _sum_on_gpu(graph, lower) if is_for_gpu else _sum_on_cpu(graph, lower, count)
    if recent is not None:
        below = graph.add("Add", [below, _add_recent_change(graph, recent, target)], "below_with_recent")
    beaten = graph.add("Squeeze", [below, "columns"], "beaten")
    rank = graph.add("Sub", ["catalogue", beaten], "rank_known")
    unknown = graph.add("Equal", ["item", "zero"], "unknown")
    graph.add("Where", [unknown, "no_rank", rank], "rank")


def _in_half(graph: GraphBuilder, name: str, output: str) -> str:
    return graph.add("Cast", [name], output, to=TensorProto.FLOAT16)


def _add_own_score(graph: GraphBuilder, recent: _Recent, target: str) -> str:
    """Add (B, 1), the whole score of the item: `target`, and what is added where the item is a recent item."""
    item = graph.add("Cast", [graph.add("Unsqueeze", ["item", "columns"], "item_column")], "item_float", to=FLOAT)
    is_item = graph.add("Equal", [recent.item, item], "is_item")
    nothing = graph.add("Sub", [recent.added, recent.added], "nothing_added")
    own = graph.add("Where", [is_item, recent.added, nothing], "own_added")
    return graph.add("Add", [target, graph.add("ReduceSum", [own, "columns"], "own_sum")], "whole_target")


def _add_recent_change(graph: GraphBuilder, recent: _Recent, target: str) -> str:
    """Add (B, 1) int32, by which the recent items' own scores change the number of items below `target`."""
    position = graph.add(
        "Sub", [graph.add("Cast", [recent.item], "recent_whole", to=TensorProto.INT64), "one"], "place"
    )
    place = graph.add("Max", [position, "zero"], "known_place")
    without = graph.add("GatherElements", ["scores", place], "scores_without", axis=1)
    including = graph.add("Add", [without, recent.added], "scores_with")
    is_filled = graph.add("GreaterOrEqual", [position, "zero"], "is_filled")
    counts = []
    for name, score in (("without", without), ("with", including)):
        is_below = graph.add("And", [is_filled, graph.add("Less", [score, target], f"lower_{name}")], f"below_{name}")
        number = graph.add("Cast", [is_below], f"flags_{name}", to=FLOAT)
        counts.append(graph.add("ReduceSum", [number, "columns"], f"count_{name}"))
    return graph.add("Cast", [graph.add("Sub", counts[::-1], "change")], "recent_change", to=TensorProto.INT32)


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
