"""The traces in the step graph. See `encoder.model.traces` for what they compute."""

import numpy as np
import torch

from encoder.model.traces import DECAYS, Traces
from encoder.model.user_model import UserModel
from export.graphs.builder import GraphBuilder, as_float32
from export.graphs.event_tables import add_event_part


def add_traces(graph: GraphBuilder, traces: Traces, model: UserModel, context: str, state: str) -> tuple[str, str]:
    """Add the traces, from item, context (B,) int64 and their state (B, K·D) float32.

    Returns the names of their sum (B, D) and of their next state (B, K·D).
    """
    weight = traces.map.weight.detach().double()
    event = add_event_part(graph, model, context, "event", weight, torch.zeros(len(weight), dtype=torch.float64))
    kept = graph.add("Mul", [state, graph.constant("decays", as_float32(traces.decays))], "kept")
    next_state = graph.add("Add", [kept, event], "next_state")
    by_rate = graph.constant("by_rate", np.array([-1, len(DECAYS), traces.output_width], np.int64))
    rates_axis = graph.constant("rates_axis", np.array([1], np.int64))
    rates = graph.add("Reshape", [next_state, by_rate], "rates")
    return graph.add("ReduceSum", [rates, rates_axis], "sum", keepdims=0), next_state
