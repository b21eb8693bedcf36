"""Page-locked memory of the host, and copies from a GPU into it.

A GPU copies page-locked memory by itself. Other memory goes through a buffer of the driver first: 5.4 MB to an H100
took .11 ms from page-locked memory instead of .48 ms. See docs/decisions.md#page-locked-memory. ONNX Runtime's Python
API has neither, so this calls the CUDA runtime library that ONNX Runtime has loaded.
"""

import ctypes
import weakref
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

DEVICE_TO_HOST = 2  # cudaMemcpyKind
PAGE_BYTES = 4096


@cache
def _cuda_runtime() -> Any:
    # The import stands here, because the package of ONNX Runtime for CPUs alone does not have this name.
    from onnxruntime.capi.build_and_package_info import cuda_version

    return ctypes.CDLL(f"libcudart.so.{cuda_version.partition('.')[0]}")


def page_locked_zeros(shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """An array of zeros in page-locked memory, or in usual memory where the driver locks none."""
    size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    # CUDA locks whole pages, and each page once. So the array gets pages that it shares with nothing else.
    whole = np.zeros(-(-size_bytes // PAGE_BYTES) * PAGE_BYTES + PAGE_BYTES, np.uint8)
    start = -whole.ctypes.data % PAGE_BYTES
    array: NDArray[Any] = whole[start : start + size_bytes].view(dtype).reshape(shape)
    address = ctypes.c_void_p(array.ctypes.data)
    if _cuda_runtime().cudaHostRegister(address, ctypes.c_size_t(size_bytes), 0) == 0:
        # The pages are unlocked before the memory is freed: otherwise the driver would take later memory at these
        # addresses for the locked pages. At the exit of the process there is nothing to unlock.
        weakref.finalize(whole, _cuda_runtime().cudaHostUnregister, address).atexit = False
    else:
        _clear_last_error()
    return array


def copy_to_host(value: ort.OrtValue, array: NDArray[Any], count: int) -> None:
    """Copy the first `count` rows of a tensor on the GPU into the array. Raises RuntimeError with CUDA's error code."""
    size_bytes = ctypes.c_size_t(array[:count].nbytes)
    source, target = ctypes.c_void_p(value.data_ptr()), ctypes.c_void_p(array.ctypes.data)
    error = _cuda_runtime().cudaMemcpy(target, source, size_bytes, DEVICE_TO_HOST)
    if error:
        _clear_last_error()
        raise RuntimeError(f"a copy of {size_bytes.value} bytes from the GPU failed with CUDA's error {error}")


def _clear_last_error() -> None:
    """Clear CUDA's last error, because ONNX Runtime asks for the last error after every kernel."""
    _cuda_runtime().cudaGetLastError()
