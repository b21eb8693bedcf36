#!/usr/bin/env bash
# onnxruntime 1.31.1, CPU provider on x86-64: MatMulInteger with signed integers on the left takes many times as long as
# with unsigned integers.
#
# Expected: both sides of MatMulInteger may be int8 or uint8. The products of int8 with int8 and of uint8 with int8 have
#   as many multiplications and the same constant on the right, so both take about the same time.
# Behaviour: with int8 on the left, one row times a constant (64, 100,000) matrix took 29 to 50 times as long as
#   with uint8 and a zero point. Both give the same numbers.
# Why it matters: a search by 8-bit vectors, written in the symmetric way with two signed sides, is slower than the
#   float32 product that the search should replace.
# Output seen on 2026-11-29 (AMD EPYC with AVX-512): "int8 on the left: 2984 us, uint8: 102 us, 29 times". The times
#   depend on the processor.
set -euo pipefail
test "$(uname -m)" = x86_64 || { echo "this finding is of x86-64"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

draw = np.random.default_rng(0)
ITEMS = draw.integers(-127, 128, size=(64, 100_000)).astype(np.int8)
QUERY = draw.integers(-63, 64, size=(1, 64)).astype(np.int8)


def product(kind, query, zero_point):
    constants = [numpy_helper.from_array(ITEMS, "items"), numpy_helper.from_array(zero_point, "zero_point")]
    node = helper.make_node("MatMulInteger", ["query", "items", "zero_point"], ["product"])
    x = helper.make_tensor_value_info("query", kind, [1, 64])
    y = helper.make_tensor_value_info("product", TensorProto.INT32, [1, 100_000])
    graph = helper.make_graph([node], "product", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    times_us = []
    for _ in range(31):
        began = time.thread_time()
        (found,) = session.run(None, {"query": query})
        times_us.append(1e6 * (time.thread_time() - began))
    return found, float(np.median(times_us))


signed, signed_us = product(TensorProto.INT8, QUERY, np.array(0, np.int8))
unsigned, unsigned_us = product(TensorProto.UINT8, (QUERY.astype(np.int16) + 64).astype(np.uint8), np.array(64, np.uint8))
print(f"int8 on the left: {signed_us:.0f} us, uint8: {unsigned_us:.0f} us, {signed_us / unsigned_us:.0f} times")
assert (signed == unsigned).all() and (signed == QUERY.astype(np.int32) @ ITEMS.astype(np.int32)).all()
assert signed_us > 5 * unsigned_us, "signed integers on the left are fast now"
PYTHON
