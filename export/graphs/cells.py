"""The graph of each cell: everything between an event and the cell's output.

Every cell meets its inputs in one linear map and nowhere else. The first layer's inputs are sums of embeddings, so its
map is folded into two tables, of items and of (action, gap bucket); later layers compute theirs.
"""

import math
from collections.abc import Callable
from functools import singledispatch

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor

from encoder.errors import BundleError
from encoder.model.cells import Cell, GRUCell, HGRN2Cell, LSTMCell, MinGRUCell, RNNCell, Stack
from encoder.model.cells.linear import HEADS, KEYS, NORM_EPSILON
from encoder.model.counters import DIFFERENCE, EVENT, FOREVER_MS, Counters
from encoder.model.traces import DECAYS, Traces
from encoder.model.user_model import UserModel
from export.graphs.builder import Graph, array
from export.graphs.event_tables import add_event_part

# (P, E) weight and (P,) bias of a map of a layer's inputs, float64 -> name of its (B, P) float32 result in the graph.
Map = Callable[[Tensor, Tensor], str]


def add_cell(graph: Graph, model: UserModel, context: str, state: str) -> tuple[str, str]:
    """Add the model's cell: from item, context (B,) int64 and its state (B, S).

    Returns the names of the cell's output (B, H) and its next state (B, S).
    """
    cell = model.cell
    if not isinstance(cell, Stack):
        return add_layer(cell, graph, _table_map(graph, model, context), state)
    layers = cell.layers
    widths = graph.constant("layer_widths", np.array([layer.state_width for layer in layers], np.int64))
    before = graph.split("Split", [state, widths], [f"layer{n}_state" for n in range(len(layers))], axis=1)
    output, after = "", []
    for n, (layer, own) in enumerate(zip(layers, before, strict=True)):
        part = graph.part(f"layer{n}_")
        inputs, mapped = output, _computed_map(part, output) if n else _table_map(part, model, context)
        output, next_state = add_layer(layer, part, mapped, own)
        output = part.add("Add", [inputs, output], "residual") if n else output
        after.append(next_state)
    return output, graph.add("Concat", after, "next_state", axis=1)


def add_traces(graph: Graph, traces: Traces, model: UserModel, context: str, state: str) -> tuple[str, str]:
    """Add the traces. Returns the names of their sum (B, D) and of the next ones (B, K·D)."""
    weight = traces.map.weight.detach().double()
    event = add_event_part(graph, model, context, "event", weight, torch.zeros(len(weight), dtype=torch.float64))
    kept = graph.add("Mul", [state, graph.constant("decays", array(traces.decays))], "kept")
    after = graph.add("Add", [kept, event], "next_state")
    by_rate = graph.constant("by_rate", np.array([-1, len(DECAYS), traces.output_width], np.int64))
    rates = graph.constant("rates_axis", np.array([1], np.int64))
    return graph.add("ReduceSum", [graph.add("Reshape", [after, by_rate], "rates"), rates], "sum", keepdims=0), after


def add_counters(graph: Graph, counters: Counters, gap_ms: str, state: str) -> tuple[str, str]:
    """Add the counters. gap_ms: (B, 1) int64. Returns the names of what they give, (B, K), and of the next state."""
    is_first = graph.add("Less", [gap_ms, graph.constant("no_gap", np.array(0, np.int64))], "is_first")
    forever = graph.constant("forever_ms", np.array(FOREVER_MS, np.float64))
    gap = graph.add("Cast", [gap_ms], "gap", to=TensorProto.DOUBLE)
    since = graph.add("Where", [is_first, forever, gap], "since_ms")
    faded = graph.add("Mul", [since, graph.constant("rates_per_ms", -counters.rates_per_ms.numpy())], "faded")
    exact = graph.add("Cast", [state], "exact", to=TensorProto.DOUBLE)
    halves = graph.constant("halves", np.array([counters.width, counters.width], np.int64))
    before = graph.add(
        "Add", graph.split("Split", [exact, halves], ["rounded_before", "rest_before"], axis=1), "before"
    )
    kept = graph.add("Mul", [before, graph.add("Exp", [faded], "kept_share")], "kept")
    event = graph.constant("event", np.array(EVENT, np.float64))
    after = graph.add("Add", [kept, event], "after")
    rounded = graph.add("Cast", [after], "rounded", to=TensorProto.FLOAT)
    again = graph.add("Cast", [rounded], "rounded_exactly", to=TensorProto.DOUBLE)
    rest = graph.add("Cast", [graph.add("Sub", [after, again], "off")], "rest", to=TensorProto.FLOAT)
    log = graph.add("Log", [graph.add("Max", [after, event], "counted")], "exact_log")
    differences = DIFFERENCE * (np.eye(counters.width) - np.eye(counters.width, k=1))
    differences[:, 0] = np.eye(counters.width)[0]
    usual = counters.usual.double().numpy() + math.log(EVENT) * differences.sum(axis=0)
    constants = {"differences": differences, "minus_usual": -usual}
    names = [graph.constant(name, value.astype(np.float32)) for name, value in constants.items()]
    given = graph.add("Gemm", [graph.add("Cast", [log], "log", to=TensorProto.FLOAT), *names], "given")
    return given, graph.add("Concat", [rounded, rest], "next_state", axis=1)


def _table_map(graph: Graph, model: UserModel, context: str) -> Map:
    def mapped(weight: Tensor, bias: Tensor) -> str:
        return add_event_part(graph, model, context, "event", weight, bias)

    return mapped


def _computed_map(graph: Graph, inputs: str) -> Map:
    def mapped(weight: Tensor, bias: Tensor) -> str:
        constants = [graph.constant("input_weight", array(weight.T)), graph.constant("input_bias", array(bias))]
        return graph.add("Gemm", [inputs, *constants], "event_part")

    return mapped


@singledispatch
def add_layer(cell: Cell, graph: Graph, mapped: Map, state: str) -> tuple[str, str]:
    """Add one layer. Returns the names of its output (B, H) and its next state (B, S)."""
    raise BundleError(f"no graph is known for cell {type(cell).__name__}: add one to export.graphs.cells")


@add_layer.register
def _rnn(cell: RNNCell, graph: Graph, mapped: Map, state: str) -> tuple[str, str]:
    input_weight, state_weight, input_bias, state_bias = _doubles(cell.weights())
    event = mapped(input_weight, input_bias + state_bias)
    product = graph.add("Gemm", [state, graph.constant("state_weight", array(state_weight.T)), event], "state_part")
    next_state = graph.add("Tanh", [product], "next_state")
    return next_state, next_state


@add_layer.register
def _lstm(cell: LSTMCell, graph: Graph, mapped: Map, state: str) -> tuple[str, str]:
    """torch.nn.LSTM's gates: i, f, o = sigmoid, n = tanh of x + W h; c = f c + i n; next = o tanh(c), c."""
    hidden = cell.output_width
    # torch's rows are i, f, n, o: with n last, one sigmoid serves the three others.
    rows = torch.arange(4 * hidden).view(4, hidden)[[0, 1, 3, 2]].flatten()
    input_weight, state_weight, input_bias, state_bias = (part[rows] for part in _doubles(cell.weights()))
    event = mapped(input_weight, input_bias + state_bias)
    weight = graph.constant("state_weight", array(state_weight.T))
    thirds = graph.constant("thirds", np.array([hidden] * 3, np.int64))
    gate_widths = graph.constant("gate_widths", np.array([3 * hidden, hidden], np.int64))
    halves = graph.constant("halves", np.array([hidden, hidden], np.int64))

    before, memory = graph.split("Split", [state, halves], ["before", "memory"], axis=1)
    product = graph.add("Gemm", [before, weight, event], "state_part")
    gates_in, new_in = graph.split("Split", [product, gate_widths], ["gates_in", "new_in"], axis=1)
    gates = graph.add("Sigmoid", [gates_in], "gates")
    write, keep, show = graph.split("Split", [gates, thirds], ["write", "keep", "show"], axis=1)
    written = graph.add("Mul", [write, graph.add("Tanh", [new_in], "new")], "written")
    memory = graph.add("Add", [graph.add("Mul", [keep, memory], "kept"), written], "next_memory")
    output = graph.add("Mul", [show, graph.add("Tanh", [memory], "shown")], "output")
    return output, graph.add("Concat", [output, memory], "next_state", axis=1)


@add_layer.register
def _gru(cell: GRUCell, graph: Graph, mapped: Map, state: str) -> tuple[str, str]:
    """torch.nn.GRU's gates: r, z = sigmoid(x + W h); n = tanh(x + r (W h + b)); next = n + z (h - n)."""
    hidden = cell.output_width
    input_weight, state_weight, input_bias, state_bias = _doubles(cell.weights())
    # Biases of the reset and update gates meet the inputs in one sum, so they move into the event's part.
    bias, state_bias = input_bias.clone(), state_bias.clone()
    bias[: 2 * hidden] += state_bias[: 2 * hidden]
    state_bias[: 2 * hidden] = 0
    event = mapped(input_weight, bias)
    constants = [graph.constant("state_weight", array(state_weight.T)), graph.constant("state_bias", array(state_bias))]
    gate_widths = graph.constant("gate_widths", np.array([2 * hidden, hidden], np.int64))
    halves = graph.constant("halves", np.array([hidden, hidden], np.int64))

    product = graph.add("Gemm", [state, *constants], "state_part")
    event_gates, event_new = graph.split("Split", [event, gate_widths], ["event_gates", "event_new"], axis=1)
    state_gates, state_new = graph.split("Split", [product, gate_widths], ["state_gates", "state_new"], axis=1)
    gates = graph.add("Sigmoid", [graph.add("Add", [event_gates, state_gates], "gates_in")], "gates")
    reset, keep = graph.split("Split", [gates, halves], ["reset", "keep"], axis=1)
    kept = graph.add("Mul", [reset, state_new], "reset_state")
    new = graph.add("Tanh", [graph.add("Add", [event_new, kept], "new_in")], "new")
    change = graph.add("Sub", [state, new], "change")
    next_state = graph.add("Add", [new, graph.add("Mul", [keep, change], "kept_change")], "next_state")
    return next_state, next_state


@add_layer.register
def _mingru(cell: MinGRUCell, graph: Graph, mapped: Map, state: str) -> tuple[str, str]:
    """next = h + z (n - h), z = sigmoid(x); no matrix meets the state."""
    event = mapped(*_doubles((cell.map.weight, cell.map.bias)))
    halves = graph.constant("halves", np.array([cell.output_width] * 2, np.int64))
    update_in, new = graph.split("Split", [event, halves], ["update_in", "new"], axis=1)
    update = graph.add("Sigmoid", [update_in], "update")
    change = graph.add("Mul", [update, graph.add("Sub", [new, state], "difference")], "change")
    next_state = graph.add("Add", [state, change], "next_state")
    return next_state, next_state


@add_layer.register
def _hgrn2(cell: HGRN2Cell, graph: Graph, mapped: Map, state: str) -> tuple[str, str]:
    """next = v + f (M - v) for every head's matrix M of keys by values, f = sigmoid(x); read by silu(q), normalised."""
    hidden = cell.output_width
    event = mapped(*_doubles((cell.map.weight, cell.map.bias)))
    widths = graph.constant("map_widths", np.array(cell.widths, np.int64))
    of_keys = graph.constant("of_keys", np.array([-1, KEYS, HEADS, 1], np.int64))
    of_values = graph.constant("of_values", np.array([-1, 1, HEADS, cell.values], np.int64))
    of_both = graph.constant("of_both", np.array([-1, KEYS, HEADS, cell.values], np.int64))
    of_state = graph.constant("of_state", np.array([-1, cell.state_width], np.int64))
    of_output = graph.constant("of_output", np.array([-1, hidden], np.int64))
    keys = graph.constant("keys_axis", np.array([1], np.int64))
    scale = graph.constant("scale", np.ones(hidden, np.float32))

    forget, query_in, new = graph.split("Split", [event, widths], ["forget", "query_in", "new"], axis=1)
    keep = graph.add("Reshape", [graph.add("Sigmoid", [forget], "keep_flat"), of_keys], "keep")
    value = graph.add("Reshape", [new, of_values], "value")
    before = graph.add("Reshape", [state, of_both], "before")
    kept = graph.add("Mul", [keep, graph.add("Sub", [before, value], "difference")], "kept")
    after = graph.add("Add", [value, kept], "after")
    gated = graph.add("Mul", [query_in, graph.add("Sigmoid", [query_in], "query_gate")], "query_flat")
    answers = graph.add("Mul", [graph.add("Reshape", [gated, of_keys], "query"), after], "answers")
    read = graph.add("Reshape", [graph.add("ReduceSum", [answers, keys], "read", keepdims=0), of_output], "read_flat")
    output = graph.add("LayerNormalization", [read, scale], "output", axis=1, epsilon=NORM_EPSILON)
    return output, graph.add("Reshape", [after, of_state], "next_state")


def _doubles(weights: tuple[Tensor, ...]) -> list[Tensor]:
    return [weight.detach().double() for weight in weights]
