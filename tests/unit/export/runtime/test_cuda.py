"""The calls of CUDA's runtime, by one that moves memory of the CPU."""

import ctypes
import gc
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from export.runtime import page_locked_memory, stepper
from export.runtime.stepper import cuda_failure


class Runtime:
    """Counts what is locked; its copies are the CPU's."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.locked: dict[int, int] = {}
        self.last_error = 0

    def __call__(self) -> SimpleNamespace:
        """By CUDA's own names, as `page_locked_memory._runtime` gives them."""
        return SimpleNamespace(
            cudaHostRegister=self.register,
            cudaHostUnregister=self.unregister,
            cudaMemcpy=self.copy,
            cudaGetLastError=self.take_error,
        )

    def register(self, address: Any, size: Any, flags: int) -> int:
        if self.status == 0:
            self.locked[address.value] = size.value
        self.last_error = self.status
        return self.status

    def take_error(self) -> int:
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
def test_an_array_is_locked_on_pages_of_its_own_until_it_goes(
    shape: tuple[int, ...], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime()
    monkeypatch.setattr(page_locked_memory, "_runtime", runtime)
    array, other = page_locked_memory.page_locked(shape, dtype), page_locked_memory.page_locked(shape, dtype)
    assert runtime.locked == {one.ctypes.data: one.nbytes for one in (array, other)}
    assert array.ctypes.data % page_locked_memory.PAGE_BYTES == 0
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
    monkeypatch.setattr(page_locked_memory, "_runtime", runtime)
    array = page_locked_memory.page_locked((3, 2), np.float32)
    assert runtime.last_error == 0, "the next kernel is not to fail for it"
    array[:] = 1
    del array
    gc.collect()
    assert not runtime.locked


def test_the_first_rows_come_back_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_locked_memory, "_runtime", Runtime())
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    here = np.zeros_like(rows)
    page_locked_memory.copy_to_host(ort.OrtValue.ortvalue_from_numpy(rows), here, 2)
    np.testing.assert_array_equal(here, np.where(np.arange(4)[:, None] < 2, rows, 0))
    runtime = Runtime(status=700)
    monkeypatch.setattr(page_locked_memory, "_runtime", runtime)
    with pytest.raises(RuntimeError, match="a copy of 24 bytes from the GPU failed with CUDA's error 700"):
        page_locked_memory.copy_to_host(ort.OrtValue.ortvalue_from_numpy(rows), here, 2)
    assert runtime.last_error == 0


class Found(type(Path())):
    """Every path is there, those of a GPU's driver too."""

    def exists(self, **_: Any) -> bool:
        return True


@pytest.mark.skipif(cuda_failure() != "", reason="there is a GPU here")
@pytest.mark.skipif(stepper.CUDA not in ort.get_available_providers(), reason="onnxruntime is for the CPU alone")
def test_what_keeps_cuda_from_starting_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepper, "Path", Found)
    failure = cuda_failure.__wrapped__()
    assert failure is not None
    assert re.match(r"CUDA could not start \(lib\w+\.so\.\d+: cannot open shared object file", failure)
    assert "\n" not in failure
    monkeypatch.setattr(stepper, "_unloadable", lambda: "libcurand.so.10: cannot open shared object file")
    assert cuda_failure.__wrapped__().endswith("install its libraries, with `make .venv/gpu` or as thalweg[gpu]")
    monkeypatch.setattr(stepper, "_unloadable", lambda: None)
    assert "see whether `nvidia-smi` finds the GPU" in cuda_failure.__wrapped__()
