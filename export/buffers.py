"""Tensors at fixed addresses: what a captured CUDA graph reads and writes on every replay."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import ArrayLike, NDArray


class Buffer:
    """A tensor on a device (`cpu` or `cuda`), filled and fetched through page-locked host memory where there is any.

    The first axis is the batch.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type, device: str) -> None:
        self.value = ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device)
        self._pinned = _pinned(shape, dtype) if device == "cuda" else None
        self._host: NDArray[Any] = np.empty(shape, dtype) if self._pinned is None else self._pinned.numpy()

    def put(self, values: NDArray[Any], rest: ArrayLike) -> None:
        """Send the values of a batch's first rows; each row after them is `rest`."""
        self._host[: len(values)] = values
        self._host[len(values) :] = rest
        self.value.update_inplace(self._host)

    def fetch(self, count: int) -> NDArray[Any]:
        """The first `count` rows, valid until the next call."""
        if self._pinned is None:
            whole: NDArray[Any] = self.value.numpy()  # the CPU's memory itself, a copy of a device's
            return whole[:count]
        ort.copy_tensors([self.value], [self._pinned])
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


def _pinned(shape: tuple[int, ...], dtype: type) -> ort.OrtValue | None:
    """Host memory that the first CUDA device copies from and to without a detour; None where it is not offered."""
    for device in ort.get_ep_devices():
        if device.ep_name == "CUDAExecutionProvider":
            memory = device.memory_info(ort.OrtDeviceMemoryType.HOST_ACCESSIBLE)
            if memory is not None:
                return ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, memory_info=memory)
    return None
