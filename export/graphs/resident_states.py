"""The graphs of states that stay on a device: read, write and step rows of one memory, in place.

The memory is (slots, S + R) float32, a user's state and representation side by side. One gather and one scatter move
both, and the scatter's rows come from the gather's, so that no runtime can write a row before it was read, although
input and output are one buffer.
"""

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from encoder.data.features import PRICE
from encoder.model.user_model import UserModel
from export.graphs import add_step
from export.graphs.builder import Graph, floats
from export.runtime.resident_states import event_columns


def resident_step_graph(model: UserModel) -> bytes:
    """gpu_step.onnx: memory (slots, S + R) float32, event (B, K) int64 with `export.runtime.resident_states.event_columns`,
    and price (B,) float32 where the model knows it -> memory_after, to be bound to the memory's buffer, before (B, R)
    float32, the representations before the step, and item (B,) int64, which the predict graph then finds beside it."""
    graph = Graph()
    columns = event_columns(model.config.features)
    ones = graph.constant("column_widths", np.ones(len(columns), np.int64))
    axis = graph.constant("column_axis", np.array([1], np.int64))
    for column in graph.split("Split", ["event", ones], [f"{name}_column" for name in columns], axis=1):
        graph.add("Squeeze", [column, axis], column.removesuffix("_column"))
    widths = graph.constant("row_widths", np.array([model.state_width, model.representation_width], np.int64))
    graph.split("Split", [graph.add("Gather", ["memory", "slot"], "rows", axis=0), widths], ["state", "before"], axis=1)
    add_step(graph, model)
    _scatter(graph, graph.add("Concat", ["next_state", "representation"], "rows_after", axis=1))
    inputs = [
        _memory("memory", model),
        helper.make_tensor_value_info("event", TensorProto.INT64, ["batch", len(columns)]),
    ]
    if PRICE in model.config.features:
        inputs.append(helper.make_tensor_value_info(PRICE, TensorProto.FLOAT, ["batch"]))
    item = helper.make_tensor_value_info("item", TensorProto.INT64, ["batch"])
    return graph.model(
        "step", inputs, [_memory("memory_after", model), floats("before", model.representation_width), item]
    )


def read_graph(model: UserModel) -> bytes:
    """gpu_read.onnx: memory (slots, S + R) float32, slot (B,) int64 -> rows (B, S + R) float32."""
    graph = Graph()
    graph.add("Gather", ["memory", "slot"], "rows", axis=0)
    return graph.model("read", [_memory("memory", model), _slots()], [floats("rows", _width(model))])


def write_graph(model: UserModel) -> bytes:
    """gpu_write.onnx: memory (slots, S + R) float32, slot (B,) int64, rows (B, S + R) float32 -> memory_after."""
    graph = Graph()
    _scatter(graph, "rows")
    inputs = [_memory("memory", model), _slots(), floats("rows", _width(model))]
    return graph.model("write", inputs, [_memory("memory_after", model)])


def _scatter(graph: Graph, rows: str) -> None:
    graph.constant("slot_axis", np.array([1], np.int64))
    graph.add("ScatterND", ["memory", graph.add("Unsqueeze", ["slot", "slot_axis"], "slots"), rows], "memory_after")


def _width(model: UserModel) -> int:
    return model.state_width + model.representation_width


def _memory(name: str, model: UserModel) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["slots", _width(model)])


def _slots() -> ValueInfoProto:
    return helper.make_tensor_value_info("slot", TensorProto.INT64, ["batch"])
