"""The counters in the step graph. See `encoder.model.counters` for what they compute."""

import math

import numpy as np
from onnx import TensorProto

from encoder.model.counters import COUNT_UNIT, DIFFERENCE_SCALE, FOREVER_MS, Counters
from export.graphs.builder import GraphBuilder


def add_counters(graph: GraphBuilder, counters: Counters, gap_ms: str, state: str) -> tuple[str, str]:
    """Add the counters, from the gaps (B, 1) int64 and their state (B, 2K) float32.

    Returns the names of their output (B, K) float32 and of their next state (B, 2K) float32.
    """
    counts, event = _add_counts(graph, counters, gap_ms, state)
    rounded, rest = _add_rounded_and_rest(graph, counts)
    output = _add_output(graph, counters, counts, event)
    return output, graph.add("Concat", [rounded, rest], "next_state", axis=1)


def _add_counts(graph: GraphBuilder, counters: Counters, gap_ms: str, state: str) -> tuple[str, str]:
    """Add the counts after the event, (B, K) float64. Returns their name and the name of what an event adds to them."""
    is_first = graph.add("Less", [gap_ms, graph.constant("no_gap", np.array(0, np.int64))], "is_first")
    forever = graph.constant("forever_ms", np.array(FOREVER_MS, np.float64))
    gap = graph.add("Cast", [gap_ms], "gap", to=TensorProto.DOUBLE)
    since = graph.add("Where", [is_first, forever, gap], "since_ms")
    faded = graph.add("Mul", [since, graph.constant("rates_per_ms", -counters.rates_per_ms.numpy())], "faded")
    exact = graph.add("Cast", [state], "exact", to=TensorProto.DOUBLE)
    halves = graph.constant("halves", np.array([counters.width, counters.width], np.int64))
    parts = graph.add_many("Split", [exact, halves], ["rounded_before", "rest_before"], axis=1)
    before = graph.add("Add", parts, "before")
    kept = graph.add("Mul", [before, graph.add("Exp", [faded], "kept_share")], "kept")
    event = graph.constant("event", np.array(COUNT_UNIT, np.float64))
    return graph.add("Add", [kept, event], "after"), event


def _add_rounded_and_rest(graph: GraphBuilder, counts: str) -> tuple[str, str]:
    """Add the counts rounded to float32, and what the rounding took from them, (B, K) float32 each."""
    rounded = graph.add("Cast", [counts], "rounded", to=TensorProto.FLOAT)
    again = graph.add("Cast", [rounded], "rounded_exactly", to=TensorProto.DOUBLE)
    difference = graph.add("Sub", [counts, again], "off")
    return rounded, graph.add("Cast", [difference], "rest", to=TensorProto.FLOAT)


def _add_output(graph: GraphBuilder, counters: Counters, counts: str, event: str) -> str:
    """Add the output (B, K) float32: the first count, and the difference of each further count from the count before.

    All are logarithms less their means over the training, and one matrix product computes them. Its bias subtracts the
    means and the logarithm of COUNT_UNIT.
    """
    log = graph.add("Log", [graph.add("Max", [counts, event], "counted")], "exact_log")
    differences = DIFFERENCE_SCALE * (np.eye(counters.width) - np.eye(counters.width, k=1))
    differences[:, 0] = np.eye(counters.width)[0]
    usual = counters.usual.double().numpy() + math.log(COUNT_UNIT) * differences.sum(axis=0)
    constants = {"differences": differences, "minus_usual": -usual}
    names = [graph.constant(name, value.astype(np.float32)) for name, value in constants.items()]
    return graph.add("Gemm", [graph.add("Cast", [log], "log", to=TensorProto.FLOAT), *names], "given")
