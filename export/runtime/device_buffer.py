"""Tensors at fixed addresses: what a captured CUDA graph reads and writes on every replay."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import ArrayLike, NDArray

from export.runtime.page_locked_memory import copy_to_host, page_locked


class Buffer:
    """A tensor on a device (`cpu` or `cuda`), filled and fetched through page-locked memory where that is a GPU.

    The first axis is the batch.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type, device: str) -> None:
        self.value = ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device)
        self._is_here = device == "cpu"
        self._host: NDArray[Any] = np.empty(shape, dtype) if self._is_here else page_locked(shape, dtype)

    def put(self, values: NDArray[Any], rest: ArrayLike) -> None:
        """Send the values of a batch's first rows; each row after them is `rest`."""
        self._host[: len(values)] = values
        self._host[len(values) :] = rest
        self.value.update_inplace(self._host)

    def fetch(self, count: int) -> NDArray[Any]:
        """The first `count` rows, valid until the next call."""
        if self._is_here:
            whole: NDArray[Any] = self.value.numpy()  # the CPU's memory itself
            return whole[:count]
        copy_to_host(self.value, self._host, count)
        return self._host[:count]


def bound(
    session: ort.InferenceSession, inputs: Mapping[str, ort.OrtValue], outputs: Mapping[str, ort.OrtValue]
) -> ort.IOBinding:
    """A binding of all of the session's inputs and outputs to these tensors."""
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in outputs.items():
        binding.bind_ortvalue_output(name, value)
    return binding
