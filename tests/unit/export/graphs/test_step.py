"""The step graph computes the model's steps."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from encoder.errors import BundleError
from encoder.model.cells import CELLS, Cell
from encoder.model.counters import COUNT_UNIT
from export.graphs.step import step_graph
from export.runtime.providers import CPU
from tests.support.bundles import tiny_model

# The operators of step graphs. ONNX Runtime has kernels of each of them for the CPU and for CUDA.
CPU_AND_CUDA_OPERATORS = {
    *("Add", "And", "Cast", "Concat", "Div", "Equal", "Exp", "Gather", "Gemm", "Greater", "GreaterOrEqual"),
    *("LayerNormalization", "Less", "Log", "MatMul", "Max", "Mul", "ReduceSum", "Reshape", "Sigmoid", "Split", "Sub"),
    *("Tanh", "Unsqueeze", "Where"),
}
STEP_OUTPUTS = ("next_state", "representation")


def test_a_step_is_the_models_step_at_every_gap_boundary() -> None:
    model = tiny_model(100)
    edges = model.gap_boundaries_ms
    gap_ms = torch.cat([edges - 1, edges, edges + 1, torch.tensor([2**62])]).clamp(min=-1)
    n = len(gap_ms)
    item, action = torch.arange(n) % 101, torch.arange(n) % 4
    state = torch.randn(n, model.state_width, generator=torch.Generator().manual_seed(0))
    state[:, model.recurrent_width :] = 0
    with torch.no_grad():
        expected = model.step(item, action, gap_ms, state)
    inputs = {"item": item, "action": action, "gap_ms": gap_ms, "state": state}
    session = ort.InferenceSession(step_graph(model), providers=[CPU])
    actual = session.run(STEP_OUTPUTS, {name: value.numpy() for name, value in inputs.items()})
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_thousand_steps_of_the_graph_are_one_pass_of_the_sequence_form(cell: str, layers: int) -> None:
    users, steps = 8, 1_000
    model = tiny_model(100, cell=cell, layers=layers)
    with torch.no_grad():  # weights as large as after a training, so that gates open and close
        model.items.weight[:, 1:] *= 5
        for parameter in model.cell.parameters():
            parameter *= 1.5
    graph = step_graph(model)
    assert {node.op_type for node in onnx.load_from_string(graph).graph.node} <= CPU_AND_CUDA_OPERATORS
    session = ort.InferenceSession(graph, providers=[CPU])
    generator = torch.Generator().manual_seed(0)
    item, action = (torch.randint(0, most, (users, steps), generator=generator) for most in (101, 4))
    gap_ms = torch.randint(-1, 10**8, (users, steps), generator=generator)
    first = torch.randn(users, model.recurrent_width, generator=generator)
    first[:, -model.state_widths[-2] :] = 20 * COUNT_UNIT  # a user's counts are never below 0
    with torch.no_grad():
        expected, last = model.sequence(item, action, gap_ms, first)
    state = np.pad(first.numpy(), ((0, 0), (0, model.state_widths[-1])))
    for t in range(steps):
        events = {"item": item[:, t], "action": action[:, t], "gap_ms": gap_ms[:, t]}
        inputs = {name: values.numpy() for name, values in events.items()}
        state, representation = session.run(STEP_OUTPUTS, {**inputs, "state": state})
        np.testing.assert_allclose(representation, expected[:, t], rtol=0, atol=1e-5)
    np.testing.assert_allclose(state[:, : model.recurrent_width], last, rtol=0, atol=1e-5)


def test_a_cell_without_a_graph_is_named() -> None:
    model = tiny_model(100)
    model.cell = type("OtherCell", (Cell,), {"step": None, "sequence": None, "input_weight": None})(32, 40, 40)
    with pytest.raises(BundleError, match="no graph is known for cell OtherCell"):
        step_graph(model)
