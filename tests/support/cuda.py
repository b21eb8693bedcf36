"""What CUDA has kernels for."""

# Operators with a CUDA kernel for the types used here, by the runtime's list of them; a product of uint8 has none.
ON_CUDA = {
    *(
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
    ),
    *(
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
    ),
    *("Squeeze", "Sub", "Tanh", "Unsqueeze", "Where"),
}
