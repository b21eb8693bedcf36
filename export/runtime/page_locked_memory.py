"""What ONNX Runtime's Python API lacks of CUDA's own runtime: page-locked memory, and copies into it.

The library is the one that ONNX Runtime has loaded by then. A device moves page-locked memory by itself; other memory
goes through a buffer of the driver's first: to an H100, 5.4 MB took .48 ms, page-locked .11 ms.
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
def _runtime() -> Any:
    # Here, not above: onnxruntime for the CPU alone has no such name, and this module is imported there, too.
    from onnxruntime.capi.build_and_package_info import cuda_version

    return ctypes.CDLL(f"libcudart.so.{cuda_version.partition('.')[0]}")


def page_locked(shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """An array of zeros in memory that a device copies from and to without a detour; where the driver locks none, it
    is as any other."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    # Pages of its own: what is locked is whole pages, each once.
    whole = np.zeros(-(-size // PAGE_BYTES) * PAGE_BYTES + PAGE_BYTES, np.uint8)
    start = -whole.ctypes.data % PAGE_BYTES
    array: NDArray[Any] = whole[start : start + size].view(dtype).reshape(shape)
    address = ctypes.c_void_p(array.ctypes.data)
    if _runtime().cudaHostRegister(address, ctypes.c_size_t(size), 0) == 0:
        # Before the memory is given back: the driver goes on to take these addresses for the locked pages.
        weakref.finalize(whole, _runtime().cudaHostUnregister, address).atexit = False
    else:
        _runtime().cudaGetLastError()  # takes it back: ONNX Runtime asks after every kernel for the last error
    return array


def copy_to_host(value: ort.OrtValue, array: NDArray[Any], count: int) -> None:
    """The first `count` rows of a value on the device into the array's. Raises RuntimeError with CUDA's error code."""
    size = ctypes.c_size_t(array[:count].nbytes)
    source, target = ctypes.c_void_p(value.data_ptr()), ctypes.c_void_p(array.ctypes.data)
    error = _runtime().cudaMemcpy(target, source, size, DEVICE_TO_HOST)
    if error:
        _runtime().cudaGetLastError()
        raise RuntimeError(f"a copy of {size.value} bytes from the GPU failed with CUDA's error {error}")
