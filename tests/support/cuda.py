"""Which operators run on a GPU."""

# The operators that have a CUDA kernel for the types that our graphs use, by ONNX Runtime's own list of kernels.
# A product of uint8 has no such kernel.
CUDA_OPERATORS = {
    "Add",
    "Cast",
    "Concat",
    "Equal",
    "Exp",
    "Gather",
    "GatherElements",
    "Gemm",
    "GreaterOrEqual",
    "LayerNormalization",
    "Less",
    "Log",
    "MatMul",
    "Max",
    "Mul",
    "ReduceSum",
    "Reshape",
    "ScatterND",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Split",
    "Squeeze",
    "Sub",
    "Tanh",
    "Unsqueeze",
    "Where",
}
