"""Writes the graph of `streams.serve.scoring.pre_scores`: `python -m tests.tools.write_pre_scores`.

The graph is a file, because a server needs no package that makes graphs.
"""

import sys

import numpy as np
from onnx import TensorProto, helper

from export.graphs.builder import GraphBuilder
from streams.serve.scoring.pre_scores import GRAPH, ZERO_POINT


def content() -> bytes:
    """The content of the file."""
    graph = GraphBuilder()
    zero_point = graph.constant("zero_point", np.array(ZERO_POINT, np.uint8))
    product = graph.add("MatMulInteger", ["query", "items", zero_point], "product")
    graph.add("Mul", [graph.add("Cast", [product], "as_float", to=TensorProto.FLOAT), "unit"], "scores")
    inputs = [
        helper.make_tensor_value_info("query", TensorProto.UINT8, ["batch", "width"]),
        helper.make_tensor_value_info("items", TensorProto.INT8, ["width", "items"]),
        helper.make_tensor_value_info("unit", TensorProto.FLOAT, []),
    ]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "items"])
    return graph.serialized("pre_scores", inputs, [scores])


def main() -> int:
    GRAPH.write_bytes(content())
    return 0


if __name__ == "__main__":
    sys.exit(main())
