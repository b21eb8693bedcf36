"""Page-locked memory, with a CUDA runtime that is simulated on the CPU."""

import ctypes
import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from export.runtime import page_locked_memory
from export.runtime.page_locked_memory import PAGE_BYTES, copy_to_host, page_locked_zeros


class SimulatedRuntime:
    """Records what is locked, and copies memory of the CPU. Each call returns `status`, CUDA's error code."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.locked: dict[int, int] = {}  # address -> bytes
        self.last_error = 0

    def __call__(self) -> SimpleNamespace:
        """The functions under CUDA's names, in place of `page_locked_memory._cuda_runtime`."""
        return SimpleNamespace(
            cudaHostRegister=self.register,
            cudaHostUnregister=self.unregister,
            cudaMemcpy=self.copy,
            cudaGetLastError=self.get_last_error,
        )

    def register(self, address: Any, size: Any, flags: int) -> int:
        if self.status == 0:
            self.locked[address.value] = size.value
        self.last_error = self.status
        return self.status

    def get_last_error(self) -> int:
        error, self.last_error = self.last_error, 0
        return error

    def unregister(self, address: Any) -> int:
        del self.locked[address.value]
        return 0

    def copy(self, target: Any, source: Any, size: Any, kind: int) -> int:
        if self.status == 0:
            ctypes.memmove(target, source, size.value)
        self.last_error = self.status
        return self.status


@pytest.mark.parametrize(("shape", "dtype"), [((64, 5), np.int64), ((4096, 330), np.float32), ((1,), np.int32)])
def test_an_array_is_locked_on_its_own_pages_until_it_is_freed(
    shape: tuple[int, ...], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = SimulatedRuntime()
    monkeypatch.setattr(page_locked_memory, "_cuda_runtime", runtime)
    array, other = page_locked_zeros(shape, dtype), page_locked_zeros(shape, dtype)
    assert runtime.locked == {one.ctypes.data: one.nbytes for one in (array, other)}
    assert array.ctypes.data % PAGE_BYTES == 0
    assert (array.shape, array.dtype, array.any()) == (shape, np.dtype(dtype), False)
    view = array[:1]
    del array
    gc.collect()
    assert len(runtime.locked) == 2, "a view still uses the memory"
    del view
    gc.collect()
    assert list(runtime.locked) == [other.ctypes.data]


def test_memory_that_cannot_be_locked_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = SimulatedRuntime(status=2)
    monkeypatch.setattr(page_locked_memory, "_cuda_runtime", runtime)
    array = page_locked_zeros((3, 2), np.float32)
    assert runtime.last_error == 0, "ONNX Runtime must not find this error after its next kernel"
    array[:] = 1
    del array
    gc.collect()
    assert not runtime.locked


def test_a_copy_brings_the_first_rows_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_locked_memory, "_cuda_runtime", SimulatedRuntime())
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    target = np.zeros_like(rows)
    copy_to_host(ort.OrtValue.ortvalue_from_numpy(rows), target, 2)
    np.testing.assert_array_equal(target, np.where(np.arange(4)[:, None] < 2, rows, 0))


def test_a_failed_copy_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = SimulatedRuntime(status=700)
    monkeypatch.setattr(page_locked_memory, "_cuda_runtime", runtime)
    rows = np.zeros((4, 3), np.float32)
    with pytest.raises(RuntimeError, match="a copy of 24 bytes from the GPU failed with CUDA's error 700"):
        copy_to_host(ort.OrtValue.ortvalue_from_numpy(rows), np.zeros_like(rows), 2)
    assert runtime.last_error == 0
