"""The heads in the predict graph: probabilities of the next action, and the distribution of the time to it."""

import numpy as np

from encoder.metrics.time_mixture import COMPONENTS, MIN_SCALE
from encoder.model.heads import Heads
from export.graphs.builder import GraphBuilder, as_float32


def head_widths(heads: Heads) -> dict[str, int]:
    """Output of the predict graph -> number of its columns."""
    return {"action_probability": heads.action.out_features, "time_mixture": heads.time.out_features}


def add_heads(graph: GraphBuilder, heads: Heads) -> None:
    """Add action_probability (B, A + 1) and time_mixture (B, 3K), float32, from `representation` (B, R)."""
    for name, layer in (("shared", heads.hidden), ("action", heads.action), ("time", heads.time)):
        graph.constant(f"{name}_weight", as_float32(layer.weight.T))
        graph.constant(f"{name}_bias", as_float32(layer.bias))
    shared = graph.add("Tanh", [graph.add("Gemm", ["representation", "shared_weight", "shared_bias"], "in")], "shared")
    graph.add("Softmax", [graph.add("Gemm", [shared, "action_weight", "action_bias"], "logits")], "action_probability")
    graph.add("Gemm", [shared, "time_weight", "time_bias"], "time")
    graph.constant("components", np.full(3, COMPONENTS, np.int64))
    graph.constant("least_scale", np.array(MIN_SCALE, np.float32))
    graph.add_many("Split", ["time", "components"], ["weight_logits", "mean", "scale_in"], axis=1)
    weight = graph.add("Softmax", ["weight_logits"], "weight")
    scale = graph.add("Add", [graph.add("Softplus", ["scale_in"], "scale_above"), "least_scale"], "scale")
    graph.add("Concat", [weight, "mean", scale], "time_mixture", axis=1)
