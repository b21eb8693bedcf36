"""The step graph: from an event and a state to the next state and the representation.

Everything that depends on the event alone is folded into tables: embeddings, their product with the cell's input
weights, and biases. One table is of items, one of action and gap together, and one of each further feature. A step is a
lookup in each table, one matrix product with the state, the gates and the head.
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from encoder.model.user_model import UserModel
from export.graphs.bought_items import add_bought_items, bought_places, exported_width
from export.graphs.builder import GraphBuilder, as_float32, float_rows, integers
from export.graphs.cells import add_cell
from export.graphs.counters import add_counters
from export.graphs.event_tables import add_event_part, add_feature_rows, feature_inputs
from export.graphs.recent_items import add_recent_items, recent_outputs
from export.graphs.traces import add_traces

GAP_COLUMN = "gap_column"  # (B, 1) int64


def step_graph(model: UserModel, purchases: Sequence[int] = ()) -> bytes:
    """step.onnx: item, action, gap_ms (B,) int64, the model's features (B,), state (B, S) float32 -> next_state (B, S)
    and representation (B, R), float32; with recent items also recent_items (B, K) int64 and recent_scores (B, K).

    purchases: the indices of the actions that buy an item. With such actions, a state begins with the bought items.
    """
    graph = GraphBuilder()
    width = exported_width(model, purchases)
    add_step(graph, model, purchases)
    return graph.serialized(
        "step",
        [
            *(integers(name) for name in ("item", "action", "gap_ms")),
            *feature_inputs(model),
            float_rows("state", width),
        ],
        [
            float_rows("next_state", width),
            float_rows("representation", model.representation_width),
            *([] if model.recent is None else recent_outputs()),
        ],
    )


def add_step(graph: GraphBuilder, model: UserModel, purchases: Sequence[int]) -> None:
    """Add next_state and representation. The graph has to have item, action, gap_ms, state and the features."""
    bucket = _add_gap_bucket(graph, model)
    context = _add_context(graph, model, bucket)
    add_feature_rows(graph, model)
    _add_state(graph, model, context, purchases)


def _add_gap_bucket(graph: GraphBuilder, model: UserModel) -> str:
    """Add (B,) int64, the number of boundaries that a gap has reached.

    Integers are compared, so that the bucket is the same as in training.
    """
    graph.constant("boundaries_ms", model.gap_boundaries_ms.numpy())
    graph.constant("last_axis", np.array([1], np.int64))
    column = graph.add("Unsqueeze", ["gap_ms", "last_axis"], GAP_COLUMN)
    reached = graph.add("GreaterOrEqual", [column, "boundaries_ms"], "reached")
    counted = graph.add("Cast", [reached], "counted", to=TensorProto.INT64)
    return graph.add("ReduceSum", [counted, "last_axis"], "gap_bucket", keepdims=0)


def _add_context(graph: GraphBuilder, model: UserModel, bucket: str) -> str:
    """Add (B,) int64, the row of the table of (action, gap bucket)."""
    graph.constant("buckets", np.array(model.gaps.num_embeddings, np.int64))
    row = graph.add("Mul", ["action", "buckets"], "action_row")
    return graph.add("Add", [row, bucket], "context")


def _add_state(graph: GraphBuilder, model: UserModel, context: str, purchases: Sequence[int]) -> None:
    """Add next_state and representation."""
    all_parts = zip(
        ("bought", "cell", "trace", "counter", "recent"),
        [bought_places(purchases), *model.state_widths],
        strict=True,
    )
    parts = {name: width for name, width in all_parts if width}
    if parts.keys() == {"cell"}:
        output, _ = add_cell(graph, model, context, "state")
        _add_representation(graph, model, output, context, "representation")
        return
    widths = graph.constant("state_widths", np.array(list(parts.values()), np.int64))
    graph.add_many("Split", ["state", widths], [f"{name}_state" for name in parts], axis=1)
    output, next_part = add_cell(graph.with_prefix("cell_"), model, context, "cell_state")
    next_parts, scoring = [next_part], "representation" if model.counters is None else "scoring"
    if purchases:
        bought = graph.with_prefix("bought_")
        next_parts.insert(0, add_bought_items(bought, purchases, model.config.actions, "bought_state"))
    if model.traces is None:
        _add_representation(graph, model, output, context, scoring)
    else:
        untraced = _add_representation(graph, model, output, context, "untraced")
        traced, next_part = add_traces(graph.with_prefix("trace_"), model.traces, model, context, "trace_state")
        graph.add("Add", [untraced, traced], scoring)
        next_parts.append(next_part)
    if model.counters is not None:
        counted, next_part = add_counters(graph.with_prefix("counter_"), model.counters, GAP_COLUMN, "counter_state")
        graph.add("Concat", [scoring, counted], "representation", axis=1)
        next_parts.append(next_part)
    if model.recent is not None:
        places = graph.with_prefix("place_")
        next_parts.append(add_recent_items(places, model.recent, GAP_COLUMN, "recent_state"))
    graph.add("Concat", next_parts, "next_state", axis=1)


def _add_representation(graph: GraphBuilder, model: UserModel, output: str, context: str, name: str) -> str:
    """Add (B, D) float32: the head of the cell's output, and the event's own part."""
    weight, bias, own = (w.double() for w in (model.shortcut.weight, model.head.bias, model.following.weight))
    event = add_event_part(graph, model, context, "following", weight, bias, own)
    graph.constant("head_weight", as_float32(model.head.weight.T))
    return graph.add("Gemm", [output, "head_weight", event], name)
