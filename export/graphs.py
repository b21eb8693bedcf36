"""A trained model as two ONNX graphs: a step of the cell, and the rank of an item over the catalogue.

The graphs are built by hand, since a step is small enough that every operator counts: everything that depends on an
event alone (embeddings, their product with the cell's input weights, biases) is folded into two tables, so that a step
is two lookups, one matrix product with the state, the gates and the head.
"""

from collections.abc import Callable

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from encoder.cells import Cell, GRUCell
from encoder.errors import BundleError
from encoder.model import UserModel

OPSET = 21
IR_VERSION = 10  # the IR version that came with opset 21

Array = NDArray[np.float32] | NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint8]


class Graph:
    """Nodes and constants of a graph under construction."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Array) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.split(operator, inputs, [output], **attributes)
        return output

    def split(self, operator: str, inputs: list[str], outputs: list[str], **attributes: object) -> None:
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))

    def model(self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> bytes:
        """The checked model, serialised. The same graph gives the same bytes."""
        graph = helper.make_graph(self._nodes, name, inputs, outputs, self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="thalweg",
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def step_graph(model: UserModel) -> bytes:
    """step.onnx: item, action, gap_ms (B,) int64, state (B, S) float32 -> next_state (B, S), representation (B, D)."""
    cell = model.cell
    if type(cell) not in CELL_GRAPHS:
        raise BundleError(f"no graph is known for cell {type(cell).__name__}: add one to export.graphs.CELL_GRAPHS")
    graph = Graph()
    bucket = _gap_bucket(graph, model)
    context = _context(graph, model, bucket)
    output = CELL_GRAPHS[type(cell)](graph, model, cell, context)
    _representation(graph, model, output, context)
    integers = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch"]) for n in ("item", "action", "gap_ms")]
    return graph.model(
        "step",
        [*integers, _floats("state", cell.state_width)],
        [_floats("next_state", cell.state_width), _floats("representation", model.config.width)],
    )


def predict_graph(item_vectors: NDArray[np.float32]) -> bytes:
    """predict.onnx: representation (B, D) float32, item (B,) int64 -> rank (B,) int32, 0 for the unknown item.

    item_vectors: (N, D) of items 1..N. Ties count against the model. The target's score is read from the same product
    as the others, so equal vectors tie exactly. Counting the items that score *lower* and taking them from N gives
    the same number, and the worst rank, not the best, where a representation is not a number.
    """
    graph = Graph()
    count = len(item_vectors)
    graph.constant("item_vectors", np.ascontiguousarray(item_vectors.T))
    graph.constant("zero", np.array(0, np.int64))
    graph.constant("one", np.array(1, np.int64))
    graph.constant("columns", np.array([1], np.int64))
    graph.constant("catalogue", np.array(count, np.int32))
    graph.constant("no_rank", np.array(0, np.int32))
    scores = graph.add("MatMul", ["representation", "item_vectors"], "scores")
    known = graph.add("Max", [graph.add("Sub", ["item", "one"], "position"), "zero"], "known")
    column = graph.add("Unsqueeze", [known, "columns"], "column")
    target = graph.add("GatherElements", [scores, column], "target", axis=1)
    lower = graph.add("Less", [scores, target], "lower")
    # A sum of bytes as an integer matrix product: a quarter of the memory traffic of a float sum.
    graph.constant("ones", np.ones((count, 1), np.uint8))
    flags = graph.add("Cast", [lower], "flags", to=TensorProto.UINT8)
    below = graph.add("MatMulInteger", [flags, "ones"], "below")
    beaten = graph.add("Squeeze", [below, "columns"], "beaten")
    rank = graph.add("Sub", ["catalogue", beaten], "rank_known")
    unknown = graph.add("Equal", ["item", "zero"], "unknown")
    graph.add("Where", [unknown, "no_rank", rank], "rank")
    return graph.model(
        "predict",
        [
            _floats("representation", item_vectors.shape[1]),
            helper.make_tensor_value_info("item", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("rank", TensorProto.INT32, ["batch"])],
    )


def _gap_bucket(graph: Graph, model: UserModel) -> str:
    """(B,) int64: how many boundaries a gap has reached. Integer comparisons, so the same bucket as in training."""
    graph.constant("boundaries_ms", model.gap_boundaries_ms.numpy())
    graph.constant("last_axis", np.array([1], np.int64))
    column = graph.add("Unsqueeze", ["gap_ms", "last_axis"], "gap_column")
    reached = graph.add("GreaterOrEqual", [column, "boundaries_ms"], "reached")
    counted = graph.add("Cast", [reached], "counted", to=TensorProto.INT64)
    return graph.add("ReduceSum", [counted, "last_axis"], "gap_bucket", keepdims=0)


def _context(graph: Graph, model: UserModel, bucket: str) -> str:
    """(B,) int64 row of the table over (action, gap bucket)."""
    graph.constant("buckets", np.array(model.gaps.num_embeddings, np.int64))
    row = graph.add("Mul", ["action", "buckets"], "action_row")
    return graph.add("Add", [row, bucket], "context")


def _pairs(model: UserModel) -> torch.Tensor:
    """(actions · buckets, D) float64: the part of a cell's inputs that an action and a gap give."""
    return (model.actions.weight.double()[:, None, :] + model.gaps.weight.double()[None, :, :]).flatten(0, 1)


def _representation(graph: Graph, model: UserModel, output: str, context: str) -> None:
    """The head of the cell's output, plus what the event gives by itself: two tables."""
    shortcut = model.shortcut.weight.double().T
    own = model.items.weight.double() @ shortcut + model.following.weight.double()
    graph.constant("item_following", _array(own))
    graph.constant("context_following", _array(_pairs(model) @ shortcut + model.head.bias.double()))
    graph.constant("head_weight", _array(model.head.weight.T))
    item = graph.add("Gather", ["item_following", "item"], "item_following_part")
    other = graph.add("Gather", ["context_following", context], "context_following_part")
    event = graph.add("Add", [item, other], "following_part")
    graph.add("Gemm", [output, "head_weight", event], "representation")


def _gru(graph: Graph, model: UserModel, cell: Cell, context: str) -> str:
    """torch.nn.GRU's gates: r, z = sigmoid(x + W h); n = tanh(x + r (W h + b)); next = n + z (h - n)."""
    assert isinstance(cell, GRUCell)
    hidden = cell.state_width
    input_weight, state_weight, input_bias, state_bias = (w.detach().double() for w in cell.weights())
    # Biases of the reset and update gates meet the inputs in one sum, so they move into the event's tables.
    bias, state_bias = input_bias.clone(), state_bias.clone()
    bias[: 2 * hidden] += state_bias[: 2 * hidden]
    state_bias[: 2 * hidden] = 0
    graph.constant("item_table", _array(model.items.weight.double() @ input_weight.T))
    graph.constant("context_table", _array(_pairs(model) @ input_weight.T + bias))
    graph.constant("state_weight", _array(state_weight.T))
    graph.constant("state_bias", _array(state_bias))
    graph.constant("gate_widths", np.array([2 * hidden, hidden], np.int64))
    graph.constant("halves", np.array([hidden, hidden], np.int64))

    item = graph.add("Gather", ["item_table", "item"], "item_part")
    other = graph.add("Gather", ["context_table", context], "context_part")
    event = graph.add("Add", [item, other], "event_part")
    state = graph.add("Gemm", ["state", "state_weight", "state_bias"], "state_part")
    graph.split("Split", [event, "gate_widths"], ["event_gates", "event_new"], axis=1)
    graph.split("Split", [state, "gate_widths"], ["state_gates", "state_new"], axis=1)
    gates = graph.add("Sigmoid", [graph.add("Add", ["event_gates", "state_gates"], "gates_in")], "gates")
    graph.split("Split", [gates, "halves"], ["reset", "keep"], axis=1)
    kept = graph.add("Mul", ["reset", "state_new"], "reset_state")
    new = graph.add("Tanh", [graph.add("Add", ["event_new", kept], "new_in")], "new")
    change = graph.add("Sub", ["state", new], "change")
    return graph.add("Add", [new, graph.add("Mul", ["keep", change], "kept_change")], "next_state")


CELL_GRAPHS: dict[type[Cell], Callable[[Graph, UserModel, Cell, str], str]] = {GRUCell: _gru}


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().float().numpy())


def _floats(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
