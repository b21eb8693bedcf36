"""The cells in the step graph: everything between an event and the cell's output.

Every cell maps its inputs by one linear map, and uses them nowhere else. The inputs of the first layer are sums of
embeddings, so its map is folded into tables (`export.graphs.event_tables`). The graph computes the maps of later
layers.
"""

from collections.abc import Callable
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from encoder.errors import BundleError
from encoder.model.cells import Cell, GRUCell, HGRN2Cell, LSTMCell, MinGRUCell, RNNCell, Stack
from encoder.model.cells.linear_recurrence import HEADS, KEYS, NORM_EPSILON
from encoder.model.user_model import UserModel
from export.graphs.builder import GraphBuilder, as_float32
from export.graphs.event_tables import add_event_part

# Adds the linear map of a layer's inputs: weight (P, E), bias (P,) float64 -> name of the result (B, P) float32.
InputMap = Callable[[Tensor, Tensor], str]


def add_cell(graph: GraphBuilder, model: UserModel, context: str, state: str) -> tuple[str, str]:
    """Add the model's cell, from item, context (B,) int64 and the cell's state (B, S) float32.

    Returns the names of the cell's output (B, H) and of its next state (B, S).
    """
    cell = model.cell
    if not isinstance(cell, Stack):
        return add_layer(cell, graph, _lookup_map(graph, model, context), state)
    layers = cell.layers
    widths = graph.constant("layer_widths", np.array([layer.state_width for layer in layers], np.int64))
    states = graph.add_many("Split", [state, widths], [f"layer{n}_state" for n in range(len(layers))], axis=1)
    output, next_states = "", []
    for n, (layer, layer_state) in enumerate(zip(layers, states, strict=True)):
        part = graph.with_prefix(f"layer{n}_")
        inputs, input_map = output, _product_map(part, output) if n else _lookup_map(part, model, context)
        output, next_state = add_layer(layer, part, input_map, layer_state)
        output = part.add("Add", [inputs, output], "residual") if n else output
        next_states.append(next_state)
    return output, graph.add("Concat", next_states, "next_state", axis=1)


def _lookup_map(graph: GraphBuilder, model: UserModel, context: str) -> InputMap:
    """The map of the first layer's inputs, by lookups."""

    def input_map(weight: Tensor, bias: Tensor) -> str:
        return add_event_part(graph, model, context, "event", weight, bias)

    return input_map


def _product_map(graph: GraphBuilder, inputs: str) -> InputMap:
    """The map of a later layer's inputs (B, E), as a product."""

    def input_map(weight: Tensor, bias: Tensor) -> str:
        constants = [
            graph.constant("input_weight", as_float32(weight.T)),
            graph.constant("input_bias", as_float32(bias)),
        ]
        return graph.add("Gemm", [inputs, *constants], "event_part")

    return input_map


@singledispatch
def add_layer(cell: Cell, graph: GraphBuilder, input_map: InputMap, state: str) -> tuple[str, str]:
    """Add one layer, from its state (B, S). Returns the names of its output (B, H) and of its next state (B, S)."""
    raise BundleError(f"no graph is known for cell {type(cell).__name__}: register one in export.graphs.cells")


@add_layer.register
def _rnn(cell: RNNCell, graph: GraphBuilder, input_map: InputMap, state: str) -> tuple[str, str]:
    """torch.nn.RNN: the next state is tanh(x + W h)."""
    input_weight, state_weight, input_bias, state_bias = _doubles(cell.weights())
    event = input_map(input_weight, input_bias + state_bias)
    product = graph.add(
        "Gemm", [state, graph.constant("state_weight", as_float32(state_weight.T)), event], "state_part"
    )
    next_state = graph.add("Tanh", [product], "next_state")
    return next_state, next_state


@add_layer.register
def _lstm(cell: LSTMCell, graph: GraphBuilder, input_map: InputMap, state: str) -> tuple[str, str]:
    """torch.nn.LSTM: i, f, o = sigmoid(x + W h); n = tanh(x + W h); c = f c + i n; the next state is o tanh(c), c."""
    hidden = cell.output_width
    # torch orders the rows as i, f, n, o. With n last, one sigmoid computes the three gates.
    rows = torch.arange(4 * hidden).view(4, hidden)[[0, 1, 3, 2]].flatten()
    input_weight, state_weight, input_bias, state_bias = (part[rows] for part in _doubles(cell.weights()))
    event = input_map(input_weight, input_bias + state_bias)
    weight = graph.constant("state_weight", as_float32(state_weight.T))
    thirds = graph.constant("thirds", np.array([hidden] * 3, np.int64))
    gate_widths = graph.constant("gate_widths", np.array([3 * hidden, hidden], np.int64))
    halves = graph.constant("halves", np.array([hidden, hidden], np.int64))

    before, memory = graph.add_many("Split", [state, halves], ["before", "memory"], axis=1)
    product = graph.add("Gemm", [before, weight, event], "state_part")
    gates_in, new_in = graph.add_many("Split", [product, gate_widths], ["gates_in", "new_in"], axis=1)
    gates = graph.add("Sigmoid", [gates_in], "gates")
    write, keep, show = graph.add_many("Split", [gates, thirds], ["write", "keep", "show"], axis=1)
    written = graph.add("Mul", [write, graph.add("Tanh", [new_in], "new")], "written")
    memory = graph.add("Add", [graph.add("Mul", [keep, memory], "kept"), written], "next_memory")
    output = graph.add("Mul", [show, graph.add("Tanh", [memory], "shown")], "output")
    return output, graph.add("Concat", [output, memory], "next_state", axis=1)


@add_layer.register
def _gru(cell: GRUCell, graph: GraphBuilder, input_map: InputMap, state: str) -> tuple[str, str]:
    """torch.nn.GRU: r, z = sigmoid(x + W h); n = tanh(x + r (W h + b)); the next state is n + z (h - n)."""
    hidden = cell.output_width
    input_weight, state_weight, input_bias, state_bias = _doubles(cell.weights())
    # The state's biases of the reset and update gates are added to the inputs, so they move into the event's part.
    bias, state_bias = input_bias.clone(), state_bias.clone()
    bias[: 2 * hidden] += state_bias[: 2 * hidden]
    state_bias[: 2 * hidden] = 0
    event = input_map(input_weight, bias)
    constants = [
        graph.constant("state_weight", as_float32(state_weight.T)),
        graph.constant("state_bias", as_float32(state_bias)),
    ]
    gate_widths = graph.constant("gate_widths", np.array([2 * hidden, hidden], np.int64))
    halves = graph.constant("halves", np.array([hidden, hidden], np.int64))

    product = graph.add("Gemm", [state, *constants], "state_part")
    event_gates, event_new = graph.add_many("Split", [event, gate_widths], ["event_gates", "event_new"], axis=1)
    state_gates, state_new = graph.add_many("Split", [product, gate_widths], ["state_gates", "state_new"], axis=1)
    gates = graph.add("Sigmoid", [graph.add("Add", [event_gates, state_gates], "gates_in")], "gates")
    reset, keep = graph.add_many("Split", [gates, halves], ["reset", "keep"], axis=1)
    kept = graph.add("Mul", [reset, state_new], "reset_state")
    new = graph.add("Tanh", [graph.add("Add", [event_new, kept], "new_in")], "new")
    change = graph.add("Sub", [state, new], "change")
    next_state = graph.add("Add", [new, graph.add("Mul", [keep, change], "kept_change")], "next_state")
    return next_state, next_state


@add_layer.register
def _mingru(cell: MinGRUCell, graph: GraphBuilder, input_map: InputMap, state: str) -> tuple[str, str]:
    """The next state is h + z (n - h) with z = sigmoid(x). No matrix product has the state as a factor."""
    event = input_map(*_doubles((cell.map.weight, cell.map.bias)))
    halves = graph.constant("halves", np.array([cell.output_width] * 2, np.int64))
    update_in, new = graph.add_many("Split", [event, halves], ["update_in", "new"], axis=1)
    update = graph.add("Sigmoid", [update_in], "update")
    change = graph.add("Mul", [update, graph.add("Sub", [new, state], "difference")], "change")
    next_state = graph.add("Add", [state, change], "next_state")
    return next_state, next_state


@add_layer.register
def _hgrn2(cell: HGRN2Cell, graph: GraphBuilder, input_map: InputMap, state: str) -> tuple[str, str]:
    """Each head has a matrix M of keys by values: its next state is v + f (M - v) with f = sigmoid(x).

    The output is silu(q) times the next matrices, normalised.
    """
    hidden = cell.output_width
    event = input_map(*_doubles((cell.map.weight, cell.map.bias)))
    widths = graph.constant("map_widths", np.array(cell.widths, np.int64))
    keys_shape = graph.constant("of_keys", np.array([-1, KEYS, HEADS, 1], np.int64))
    values_shape = graph.constant("of_values", np.array([-1, 1, HEADS, cell.values], np.int64))
    matrices_shape = graph.constant("of_both", np.array([-1, KEYS, HEADS, cell.values], np.int64))
    state_shape = graph.constant("of_state", np.array([-1, cell.state_width], np.int64))
    output_shape = graph.constant("of_output", np.array([-1, hidden], np.int64))
    keys_axis = graph.constant("keys_axis", np.array([1], np.int64))
    scale = graph.constant("scale", np.ones(hidden, np.float32))

    forget, query_in, new = graph.add_many("Split", [event, widths], ["forget", "query_in", "new"], axis=1)
    keep = graph.add("Reshape", [graph.add("Sigmoid", [forget], "keep_flat"), keys_shape], "keep")
    value = graph.add("Reshape", [new, values_shape], "value")
    before = graph.add("Reshape", [state, matrices_shape], "before")
    kept = graph.add("Mul", [keep, graph.add("Sub", [before, value], "difference")], "kept")
    after = graph.add("Add", [value, kept], "after")
    gated = graph.add("Mul", [query_in, graph.add("Sigmoid", [query_in], "query_gate")], "query_flat")
    answers = graph.add("Mul", [graph.add("Reshape", [gated, keys_shape], "query"), after], "answers")
    read = graph.add(
        "Reshape", [graph.add("ReduceSum", [answers, keys_axis], "read", keepdims=0), output_shape], "read_flat"
    )
    output = graph.add("LayerNormalization", [read, scale], "output", axis=1, epsilon=NORM_EPSILON)
    return output, graph.add("Reshape", [after, state_shape], "next_state")


def _doubles(weights: tuple[Tensor, ...]) -> list[Tensor]:
    return [weight.detach().double() for weight in weights]
