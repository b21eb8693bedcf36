"""A trained model as two ONNX graphs: a step of the cell, and the rank of an item over the catalogue.

The graphs are built by hand, since a step is small enough that every operator counts: everything that depends on an
event alone (embeddings, their product with the cell's input weights, biases) is folded into tables, one of items, one
of action and gap together and one of each further feature, so that a step is these lookups, one matrix product with
the state, the gates and the head.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from encoder.errors import BundleError
from encoder.model.heads import Heads
from encoder.model.user_model import UserModel
from export.graphs.builder import Graph, array, floats
from export.graphs.cells import add_cell, add_counters, add_traces
from export.graphs.event_tables import add_event_part, add_feature_rows, feature_inputs
from export.graphs.heads import add_heads, head_widths

GAP_COLUMN = "gap_column"  # (B, 1) int64
FLOAT_INTEGERS = 2**24  # a float32 sum of ones is exact up to here


def step_graph(model: UserModel) -> bytes:
    """step.onnx: item, action, gap_ms (B,) int64, the model's features (B,), state (B, S) float32 -> next_state (B, S),
    representation (B, R)."""
    graph = Graph()
    add_step(graph, model)
    integers = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch"]) for n in ("item", "action", "gap_ms")]
    return graph.model(
        "step",
        [*integers, *feature_inputs(model), floats("state", model.state_width)],
        [floats("next_state", model.state_width), floats("representation", model.representation_width)],
    )


def add_step(graph: Graph, model: UserModel) -> None:
    """Add next_state and representation, from the names item, action, gap_ms, state and those of the features."""
    bucket = _gap_bucket(graph, model)
    context = _context(graph, model, bucket)
    add_feature_rows(graph, model)
    _add_state(graph, model, context)


def predict_graph(
    item_vectors: NDArray[np.float32],
    heads: Heads | None = None,
    *,
    beside: int = 0,
    is_for_gpu: bool = False,
    in_float16: bool = False,
) -> bytes:
    """predict.onnx: representation (B, R) float32, item (B,) int64 -> rank (B,) int32, 0 for the unknown item.

    With heads also action_probability (B, A + 1) and time_mixture (B, 3K), float32, of the representation alone.

    item_vectors: (N, D) of items 1..N; beside: R - D, components of a representation that do not score. Ties count
    against the model. The target's score is read from the same product as the others, so equal vectors tie exactly.
    Counting the items that score *lower* and taking them from N gives the same number, and the worst rank, not the
    best, where a representation is not a number.

    is_for_gpu: count by operators that CUDA has kernels of; a catalogue is then limited to 16 million items.
    in_float16: score in float16, which moves ranks (`export.half`): half the bytes, and a GPU's fast products.
    """
    graph = Graph()
    count = len(item_vectors)
    if is_for_gpu and count > FLOAT_INTEGERS:
        raise BundleError(f"{count} items cannot be counted in float32: graphs for a GPU take up to {FLOAT_INTEGERS}")
    graph.constant("item_vectors", item_vectors.T.astype(np.float16) if in_float16 else item_vectors.T)
    graph.constant("zero", np.array(0, np.int64))
    graph.constant("one", np.array(1, np.int64))
    graph.constant("columns", np.array([1], np.int64))
    graph.constant("catalogue", np.array(count, np.int32))
    graph.constant("no_rank", np.array(0, np.int32))
    user = "representation"
    if beside:
        parts = graph.constant("parts", np.array([item_vectors.shape[1], beside], np.int64))
        user = graph.split("Split", [user, parts], ["scoring", "beside"], axis=1)[0]
    if in_float16:
        user = graph.add("Cast", [user], "representation_in_half", to=TensorProto.FLOAT16)
    scores = graph.add("MatMul", [user, "item_vectors"], "scores")
    known = graph.add("Max", [graph.add("Sub", ["item", "one"], "position"), "zero"], "known")
    column = graph.add("Unsqueeze", [known, "columns"], "column")
    target = graph.add("GatherElements", [scores, column], "target", axis=1)
    lower = graph.add("Less", [scores, target], "lower")
    below = _sum_on_gpu(graph, lower) if is_for_gpu else _sum_on_cpu(graph, lower, count)
    beaten = graph.add("Squeeze", [below, "columns"], "beaten")
    rank = graph.add("Sub", ["catalogue", beaten], "rank_known")
    unknown = graph.add("Equal", ["item", "zero"], "unknown")
    graph.add("Where", [unknown, "no_rank", rank], "rank")
    outputs = [helper.make_tensor_value_info("rank", TensorProto.INT32, ["batch"])]
    if heads is not None:
        add_heads(graph, heads)
        outputs += [floats(name, width) for name, width in head_widths(heads).items()]
    return graph.model(
        "predict",
        [
            floats("representation", item_vectors.shape[1] + beside),
            helper.make_tensor_value_info("item", TensorProto.INT64, ["batch"]),
        ],
        outputs,
    )


def _sum_on_cpu(graph: Graph, lower: str, count: int) -> str:
    """(B, 1) int32: how many of the (B, N) flags are set.

    A sum of bytes as an integer matrix product: a quarter of the memory traffic of a float sum. Signed ones, since
    processors multiply unsigned by signed bytes: with unsigned ones the sum took three times as long.
    """
    graph.constant("ones", np.ones((count, 1), np.int8))
    flags = graph.add("Cast", [lower], "flags", to=TensorProto.UINT8)
    return graph.add("MatMulInteger", [flags, "ones"], "below")


def _sum_on_gpu(graph: Graph, lower: str) -> str:
    """The same by a float sum: CUDA has an integer product of signed bytes only, and the CPU would take the node over,
    with every score."""
    flags = graph.add("Cast", [lower], "flags", to=TensorProto.FLOAT)
    total = graph.add("ReduceSum", [flags, "columns"], "total")
    return graph.add("Cast", [total], "below", to=TensorProto.INT32)


def _gap_bucket(graph: Graph, model: UserModel) -> str:
    """(B,) int64: how many boundaries a gap has reached. Integer comparisons, so the same bucket as in training."""
    graph.constant("boundaries_ms", model.gap_boundaries_ms.numpy())
    graph.constant("last_axis", np.array([1], np.int64))
    column = graph.add("Unsqueeze", ["gap_ms", "last_axis"], GAP_COLUMN)
    reached = graph.add("GreaterOrEqual", [column, "boundaries_ms"], "reached")
    counted = graph.add("Cast", [reached], "counted", to=TensorProto.INT64)
    return graph.add("ReduceSum", [counted, "last_axis"], "gap_bucket", keepdims=0)


def _context(graph: Graph, model: UserModel, bucket: str) -> str:
    """(B,) int64 row of the table over (action, gap bucket)."""
    graph.constant("buckets", np.array(model.gaps.num_embeddings, np.int64))
    row = graph.add("Mul", ["action", "buckets"], "action_row")
    return graph.add("Add", [row, bucket], "context")


def _add_state(graph: Graph, model: UserModel, context: str) -> None:
    """Add next_state and representation."""
    names = [name for name, width in zip(("cell", "trace", "counter"), model.state_widths, strict=True) if width]
    if names == ["cell"]:
        _representation(graph, model, add_cell(graph, model, context, "state")[0], context, "representation")
        return
    widths = graph.constant("state_widths", np.array([width for width in model.state_widths if width], np.int64))
    graph.split("Split", ["state", widths], [f"{name}_state" for name in names], axis=1)
    output, after = add_cell(graph.part("cell_"), model, context, "cell_state")
    states, scoring = [after], "representation" if model.counters is None else "scoring"
    if model.traces is None:
        _representation(graph, model, output, context, scoring)
    else:
        untraced = _representation(graph, model, output, context, "untraced")
        traced, after = add_traces(graph.part("trace_"), model.traces, model, context, "trace_state")
        graph.add("Add", [untraced, traced], scoring)
        states.append(after)
    if model.counters is not None:
        counted, after = add_counters(graph.part("counter_"), model.counters, GAP_COLUMN, "counter_state")
        graph.add("Concat", [scoring, counted], "representation", axis=1)
        states.append(after)
    graph.add("Concat", states, "next_state", axis=1)


def _representation(graph: Graph, model: UserModel, output: str, context: str, name: str) -> str:
    """(B, D) the head of the cell's output, plus what the event gives by itself."""
    weight, bias, own = (w.double() for w in (model.shortcut.weight, model.head.bias, model.following.weight))
    event = add_event_part(graph, model, context, "following", weight, bias, own)
    graph.constant("head_weight", array(model.head.weight.T))
    return graph.add("Gemm", [output, "head_weight", event], name)
