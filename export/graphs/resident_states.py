"""The graphs of states that stay on a device: they step, read and write rows of one memory, in place.

The memory is (slots, S + R) float32, with a user's state and representation side by side. One gather reads the rows and
one scatter writes them. In the step graph, the scatter's rows depend on the gather's output. So no runtime can write a
row before it is read, although the memory is one buffer for input and output.
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from encoder.data.features import PRICE
from encoder.data.recent_items import FIELDS, PLACES
from encoder.model.user_model import UserModel
from export.graphs.bought_items import bought_places, exported_width
from export.graphs.builder import GraphBuilder, float_rows, integers
from export.graphs.step import add_step
from export.runtime.inputs import event_columns


def resident_step_graph(model: UserModel, purchases: Sequence[int] = ()) -> bytes:
    """gpu_step.onnx: steps the slots of the events, and gives the predict graph its inputs.

    Inputs: memory (slots, S + R) float32; event (B, K) int64, whose columns are `export.runtime.inputs.event_columns`;
    price (B,) float32 where the model knows the price. Outputs: memory_after, to be bound to the memory's buffer;
    before (B, Q) float32, the queries before the events; item (B,) int64. purchases: as of `step_graph`.
    """
    graph, width = GraphBuilder(), exported_width(model, purchases)
    columns = event_columns(model.config.features)
    ones = graph.constant("column_widths", np.ones(len(columns), np.int64))
    axis = graph.constant("column_axis", np.array([1], np.int64))
    for column in graph.add_many("Split", ["event", ones], [f"{name}_column" for name in columns], axis=1):
        graph.add("Squeeze", [column, axis], column.removesuffix("_column"))
    widths = graph.constant("row_widths", np.array([width, model.representation_width], np.int64))
    rows = graph.add("Gather", ["memory", "slot"], "rows", axis=0)
    name = "before" if model.recent is None else "representation_before"
    graph.add_many("Split", [rows, widths], ["state", name], axis=1)
    before = (
        ("before", model.representation_width) if model.recent is None else _add_query(graph, model, purchases, name)
    )
    add_step(graph, model, purchases)
    _add_scatter(graph, graph.add("Concat", ["next_state", "representation"], "rows_after", axis=1))
    event = helper.make_tensor_value_info("event", TensorProto.INT64, ["batch", len(columns)])
    memory_width = _row_width(model, purchases)
    inputs = [_memory("memory", memory_width), event]
    if PRICE in model.config.features:
        inputs.append(helper.make_tensor_value_info(PRICE, TensorProto.FLOAT, ["batch"]))
    outputs = [_memory("memory_after", memory_width), float_rows(*before), integers("item")]
    return graph.serialized("step", inputs, outputs)


def _add_query(graph: GraphBuilder, model: UserModel, purchases: Sequence[int], representation: str) -> tuple[str, int]:
    """Add before (B, Q), the queries of `export.runtime.queries`. Returns the name and Q."""
    before, inner = bought_places(purchases) + model.recurrent_width, (len(FIELDS) - 2) * PLACES
    widths = graph.constant("query_widths", np.array([before, PLACES, inner, PLACES], np.int64))
    names = ["recurrent_before", "items_before", "inner_before", "scores_before"]
    _, item, _, score = graph.add_many("Split", ["state", widths], names, axis=1)
    query = graph.add("Concat", [representation, item, score], "before", axis=1)
    return query, model.representation_width + 2 * PLACES


def read_graph(model: UserModel, purchases: Sequence[int] = ()) -> bytes:
    """gpu_read.onnx: memory (slots, S + R) float32, slot (B,) int64 -> rows (B, S + R) float32."""
    graph, width = GraphBuilder(), _row_width(model, purchases)
    graph.add("Gather", ["memory", "slot"], "rows", axis=0)
    inputs = [_memory("memory", width), integers("slot")]
    return graph.serialized("read", inputs, [float_rows("rows", width)])


def write_graph(model: UserModel, purchases: Sequence[int] = ()) -> bytes:
    """gpu_write.onnx: memory (slots, S + R) float32, slot (B,) int64, rows (B, S + R) float32 -> memory_after."""
    graph, width = GraphBuilder(), _row_width(model, purchases)
    _add_scatter(graph, "rows")
    inputs = [_memory("memory", width), integers("slot"), float_rows("rows", width)]
    return graph.serialized("write", inputs, [_memory("memory_after", width)])


def _add_scatter(graph: GraphBuilder, rows: str) -> None:
    """Add memory_after, which is the memory with these rows in the slots."""
    graph.constant("slot_axis", np.array([1], np.int64))
    graph.add("ScatterND", ["memory", graph.add("Unsqueeze", ["slot", "slot_axis"], "slots"), rows], "memory_after")


def _row_width(model: UserModel, purchases: Sequence[int]) -> int:
    return exported_width(model, purchases) + model.representation_width


def _memory(name: str, width: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["slots", width])
