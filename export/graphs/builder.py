"""Builds an ONNX graph node by node."""

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
IR_VERSION = 10  # the IR version that came with opset 21

Array = NDArray[np.floating] | NDArray[np.int64] | NDArray[np.int32] | NDArray[np.int8]


class GraphBuilder:
    """The nodes and constants of a graph under construction. Names of what it adds begin with its prefix."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def with_prefix(self, prefix: str) -> "GraphBuilder":
        """A builder that adds to the same graph under another prefix."""
        other = GraphBuilder(prefix)
        other._nodes, other._constants = self._nodes, self._constants
        return other

    def constant(self, name: str, value: Array) -> str:
        """Add a constant. Returns its name in the graph."""
        name = self._prefix + name
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Add a node with one output. Returns the output's name in the graph."""
        return self.add_many(operator, inputs, [output], **attributes)[0]

    def add_many(self, operator: str, inputs: list[str], outputs: list[str], **attributes: object) -> list[str]:
        """Add a node with several outputs. Returns their names in the graph."""
        outputs = [self._prefix + output for output in outputs]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def serialized(self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> bytes:
        """The content of an ONNX file, after ONNX's own check. The same graph gives the same bytes."""
        graph = helper.make_graph(self._nodes, name, inputs, outputs, self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="thalweg",
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def as_float32(tensor: torch.Tensor) -> NDArray[np.float32]:
    """The tensor's values as a contiguous float32 array."""
    return np.ascontiguousarray(tensor.detach().float().numpy())


def float_rows(name: str, width: int) -> onnx.ValueInfoProto:
    """An input or output of a graph: (batch, width) float32."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])


def integers(name: str) -> onnx.ValueInfoProto:
    """An input or output of a graph: (batch,) int64."""
    return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch"])
