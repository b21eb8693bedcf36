"""Builds an ONNX graph node by node."""

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
IR_VERSION = 10  # the IR version that came with opset 21

Array = NDArray[np.floating] | NDArray[np.int64] | NDArray[np.int32] | NDArray[np.int8]


class Graph:
    """Nodes and constants of a graph under construction. What it adds, it names with its prefix."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def part(self, prefix: str) -> "Graph":
        """The same graph, adding under another prefix."""
        part = Graph(prefix)
        part._nodes, part._constants = self._nodes, self._constants
        return part

    def constant(self, name: str, value: Array) -> str:
        """Add a constant; returns its name in the graph."""
        name = self._prefix + name
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Add a node of one output; returns the output's name in the graph."""
        return self.split(operator, inputs, [output], **attributes)[0]

    def split(self, operator: str, inputs: list[str], outputs: list[str], **attributes: object) -> list[str]:
        """Add a node of several outputs; returns their names in the graph."""
        outputs = [self._prefix + output for output in outputs]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs

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


def array(tensor: torch.Tensor) -> NDArray[np.float32]:
    """The tensor's values as float32."""
    return np.ascontiguousarray(tensor.detach().float().numpy())


def floats(name: str, width: int) -> onnx.ValueInfoProto:
    """An input or output of the graph: (batch, width) float32."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
