"""A tensor at a fixed address: a captured CUDA graph reads and writes the same addresses at every replay."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import ArrayLike, NDArray

from export.runtime.page_locked_memory import copy_to_host, page_locked_zeros


class DeviceBuffer:
    """A tensor on a device (`cpu` or `cuda`), whose first axis is the batch.

    On a GPU, the buffer sends and fetches through page-locked memory of the host.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type, device: str) -> None:
        self.value = ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device)
        self._is_on_cpu = device == "cpu"
        self._host: NDArray[Any] = np.empty(shape, dtype) if self._is_on_cpu else page_locked_zeros(shape, dtype)

    def send(self, values: NDArray[Any], padding: ArrayLike) -> None:
        """Write the values into the first rows, and the padding into each row after them."""
        self._host[: len(values)] = values
        self._host[len(values) :] = padding
        self.value.update_inplace(self._host)

    def fetch(self, count: int) -> NDArray[Any]:
        """The first `count` rows. The array is valid until the next call of this buffer."""
        if self._is_on_cpu:
            rows: NDArray[Any] = self.value.numpy()  # a view of the tensor, without a copy
            return rows[:count]
        copy_to_host(self.value, self._host, count)
        return self._host[:count]
