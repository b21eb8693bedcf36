"""The calls of CUDA's runtime, by one that moves memory of the CPU."""

import ctypes
import gc
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from export import cuda


class Runtime:
    """Counts what is locked; its copies are the CPU's."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.locked: dict[int, int] = {}

    def cudaHostRegister(self, address: Any, size: Any, flags: int) -> int:  # noqa: N802
        if self.status == 0:
            self.locked[address.value] = size.value
        return self.status

    def cudaHostUnregister(self, address: Any) -> int:  # noqa: N802
        del self.locked[address.value]
        return 0

    def cudaMemcpy(self, target: Any, source: Any, size: Any, kind: int) -> int:  # noqa: N802
        if self.status == 0:
            ctypes.memmove(target, source, size.value)
        return self.status


@pytest.mark.parametrize(("shape", "dtype"), [((64, 5), np.int64), ((4096, 330), np.float32), ((1,), np.int32)])
def test_an_array_is_locked_on_pages_of_its_own_until_it_goes(
    shape: tuple[int, ...], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime()
    monkeypatch.setattr(cuda, "_runtime", lambda: runtime)
    array, other = cuda.page_locked(shape, dtype), cuda.page_locked(shape, dtype)
    assert runtime.locked == {one.ctypes.data: one.nbytes for one in (array, other)}
    assert array.ctypes.data % cuda.PAGES_BYTES == 0
    assert (array.shape, array.dtype, array.any()) == (shape, np.dtype(dtype), False)
    part = array[:1]
    del array
    gc.collect()
    assert len(runtime.locked) == 2, "a part of it is still there"
    del part
    gc.collect()
    assert list(runtime.locked) == [other.ctypes.data]


def test_without_locked_memory_it_is_an_array_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(status=2)
    monkeypatch.setattr(cuda, "_runtime", lambda: runtime)
    array = cuda.page_locked((3, 2), np.float32)
    array[:] = 1
    del array
    gc.collect()
    assert not runtime.locked


def test_the_first_rows_come_back_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_runtime", Runtime)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    here = np.zeros_like(rows)
    cuda.copy_to_host(ort.OrtValue.ortvalue_from_numpy(rows), here, 2)
    np.testing.assert_array_equal(here, np.where(np.arange(4)[:, None] < 2, rows, 0))
    monkeypatch.setattr(cuda, "_runtime", lambda: Runtime(status=700))
    with pytest.raises(RuntimeError, match="a copy of 24 bytes from the GPU failed with CUDA's error 700"):
        cuda.copy_to_host(ort.OrtValue.ortvalue_from_numpy(rows), here, 2)
