"""Dot products of queries with all items from 8-bit integers, and how far each may be from the exact one.

A pass over the float32 vectors of a large catalogue waits for memory. A pass over 8-bit integers reads a quarter of the
bytes. The integers are exact, and the error of rounding has a bound, so the few items that may be among the best are
known, and only these are scored by the float32 vectors: docs/decisions.md#items-that-may-be-the-best.

A query q and an item v are rounded to q' = s x and v' = t w with whole numbers x and w. The bound follows from the
inequality of Cauchy and Schwarz: q v - q' v' = (q - q') v' + q (v - v'), so that

    |q v - q' v'| <= |q - q'| max |v'| + |q| max |v - v'|.

The first component is not rounded. A model keeps the popularity of an item there (encoder/model/user_model.py).
Popularity is far larger than the other components, and integers that hold both leave too few digits for the others.
"""

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 21, 10
LARGEST_ITEM = 127
# The integers of a query have 7 bits. A processor without VNNI adds pairs of products in 16 bits, where
# 2 x 127 x 127 still fits.
LARGEST_QUERY = 63
ZERO_POINT = 64  # stands for 0 in the unsigned integers of a query
BLOCK = 64  # items whose highest score is looked at together
ROUNDING = 1e-5  # share of a score that float32 may be wrong by, here and in the sums of a score's parts


class PreScores:
    """The vectors of the N items of a bundle, rounded."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """vectors: (N + 1, R) float32, where row 0 belongs to no item."""
        first, rest = np.ascontiguousarray(vectors[1:, 0]), vectors[1:, 1:]
        self._first = first
        self._step = _step(rest, LARGEST_ITEM)
        rounded = np.rint(rest / self._step)
        items = np.zeros((rest.shape[1], -(-len(rest) // BLOCK) * BLOCK), np.int8)
        items[:, : len(rest)] = rounded.T
        self._longest_rounded = _longest(rounded) * float(self._step)
        self._longest_error = _longest(rest - rounded * self._step)
        self._rounding = ROUNDING * _longest(vectors)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # Requests already share the cores.
        graph = _graph(items)
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def of(self, query: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, R) -> (B, n) scores of items 1 to N, and (B,) how far a score may be from the exact one.

        n is a whole number of blocks. The scores behind those of the items are -inf.
        """
        first, rest = query[:, 0], query[:, 1:]
        step = _step(rest, LARGEST_QUERY)
        rounded = np.rint(rest / step)
        inputs = {"query": (rounded + ZERO_POINT).astype(np.uint8), "unit": np.array(step * self._step)}
        (scores,) = self._session.run(None, inputs)
        items = len(self._first)
        scores[:, items:] = -np.inf
        added = np.empty(items, np.float32)
        for row, value in zip(scores, first, strict=True):
            np.multiply(self._first, value, out=added)
            row[:items] += added
        bound = (
            np.linalg.norm(rest - rounded * step, axis=1) * self._longest_rounded
            + np.linalg.norm(rest, axis=1) * self._longest_error
            + np.linalg.norm(query, axis=1) * self._rounding
        )
        return scores, bound.astype(np.float32)


def may_be_best(scores: NDArray[np.float32], count: int, bound: np.float32) -> NDArray[np.int64]:
    """Positions, ascending, that hold those of the `count` highest exact scores.

    scores: (n,) float32, where n is a whole number of blocks; each is at most `bound` from the exact score. Positions
    whose score is -inf are left out. The `count`-th highest score is at least the `count`-th highest maximum of a
    block. A partition of all scores takes ten times as long.
    """
    highest = scores.reshape(BLOCK, -1).max(axis=0)  # block b has the positions b, b + n / BLOCK, ...
    least = -np.inf
    if count < len(highest):
        least = float(np.partition(highest, len(highest) - count)[len(highest) - count])
    if least == -np.inf:
        return np.flatnonzero(scores > -np.inf)
    return np.flatnonzero(scores >= least - 2 * float(bound) - ROUNDING * abs(least))


def _graph(items: NDArray[np.int8]) -> bytes:
    """The product of a query and (R - 1, n) integers of items as an ONNX graph.

    The items are a constant of the graph, so ONNX Runtime orders them for the processor once: as an input, they would
    be ordered at each pass, which takes twice as long as the product.
    """
    width, count = items.shape
    constants = [
        numpy_helper.from_array(items, "items"),
        numpy_helper.from_array(np.array(ZERO_POINT, np.uint8), "zero_point"),
    ]
    nodes = [
        helper.make_node("MatMulInteger", ["query", "items", "zero_point"], ["product"]),
        helper.make_node("Cast", ["product"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["as_float", "unit"], ["scores"]),
    ]
    inputs = [
        helper.make_tensor_value_info("query", TensorProto.UINT8, ["batch", width]),
        helper.make_tensor_value_info("unit", TensorProto.FLOAT, []),
    ]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", count])
    graph = helper.make_graph(nodes, "pre_scores", inputs, [scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def _step(values: NDArray[np.float32], largest: int) -> np.float32:
    """The size of one integer, where the largest value becomes the largest integer."""
    return np.float32(max(np.abs(values).max(initial=0) / largest, np.finfo(np.float32).tiny * largest))


def _longest(vectors: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(vectors, axis=1).max(initial=0))
