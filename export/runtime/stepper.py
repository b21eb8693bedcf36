"""Steps and ranks: the bundle's plain graphs in ONNX Runtime."""

import ctypes
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from encoder.errors import BundleError
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs

# Errors alone, of all that no session says: of each scatter's duplicates it warns whether there are any or not.
ort.set_default_logger_severity(3)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 keeps 10 bits of a factor's mantissa: states and ranks would not be those of the CPU.
CUDA_OPTIONS = {"use_tf32": "0"}
CUDA_LIBRARIES = ("libcublas", "libcudart", "libcurand")  # what its provider cannot be loaded without

# Scores of one tile of events over the catalogue are kept under 2 MB, so that they are counted while still in cache.
TILE_SCORES = 500_000
# Of a large catalogue they cannot stay there: its vectors come from memory, once for so many events. Per rank over
# 1,000,000 items of width 64: 20.1 ms one at a time, 2.9 by 16, 2.4 by 32, 2.2 by 64; 128 MB of scores at 32.
TILE_EVENTS = 32
# Of one run on a GPU: 1 GiB in float32, and about as much again while they are counted.
CUDA_TILE_SCORES = 2**28


@cache
def cuda_failure() -> str | None:
    """Why CUDA cannot be used here, in one line; None where it can, empty where there is no device of its kind.

    To be called first before threads are started: what the library prints meanwhile is caught for all of them.
    """
    # The GPU package offers its provider on every machine: look for a driver before a session logs a failure.
    has_device = any(Path(trace).exists() for trace in ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg"))
    if not has_device or CUDA not in ort.get_available_providers():
        return ""
    with redirect_stdout(StringIO()):  # it prints what it does not find, which the system may still have elsewhere
        ort.preload_dlls(cudnn=False)  # those of Python's packages, where there are any; no graph has a convolution
    try:
        ort.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda")
        return None
    except Exception as error:  # its errors have no common root
        reason = _unloadable() or " ".join(str(error).split())
    if any(library in reason for library in CUDA_LIBRARIES):
        return f"CUDA could not start ({reason}): install its libraries, with `make .venv/gpu` or as thalweg[gpu]"
    return f"CUDA could not start ({reason}): see whether `nvidia-smi` finds the GPU, and has a driver for CUDA 13"


def _unloadable() -> str | None:
    """Which library keeps that of ONNX Runtime's CUDA provider from being loaded, which ONNX Runtime has tried before;
    None where nothing does."""
    folder = Path(ort.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return str(error)
    return None


def ort_version() -> str:
    return str(ort.__version__)


class Stepper:
    """The plain graphs of a bundle, which take states from the host and give them back. `provider` says where they run:
    on CUDA where it works and the bundle has graphs for it; on_cpu: on the CPU in any case.

    Not where those rank in float16: here, ranks are exact. And not without them: CUDA has no kernel for the sum of
    bytes in the plain graph of ranks, and every score would be copied to the CPU.
    """

    def __init__(self, bundle: Bundle, threads: int = 1, *, on_cpu: bool = False) -> None:
        has_graphs = bundle.has_gpu_graphs and not bundle.gpu_ranks_in_float16
        self.provider = CPU if on_cpu or not has_graphs or cuda_failure() is not None else CUDA
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # one: a GRU step is too small to share, and cores belong to workers
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        chosen = [(self.provider, CUDA_OPTIONS if self.provider == CUDA else {})]
        predict = "predict.onnx" if self.provider == CPU else "gpu_predict.onnx"
        try:
            self._step = ort.InferenceSession(bundle.path / "step.onnx", options, providers=chosen)
            self._predict = ort.InferenceSession(bundle.path / predict, options, providers=chosen)
        except Exception as error:  # its errors have no common root
            raise BundleError(f"ONNX Runtime cannot load the graphs of {bundle.path}: {error}") from error
        for session in (self._step, self._predict):
            if session.get_providers()[0] != self.provider:
                raise BundleError(f"ONNX Runtime could not start {self.provider} for the graphs of {bundle.path}")
        self.catalogue = bundle.manifest.items
        self._heads = bundle.manifest.heads
        tile_scores = TILE_SCORES if self.provider == CPU else CUDA_TILE_SCORES
        self._tile = max(TILE_EVENTS, tile_scores // max(1, self.catalogue))

    def step(self, inputs: StepInputs, state: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """B events and the (B, S) float32 states before them -> (B, S) states and (B, R) representations after them."""
        named = {**inputs.by_name(), "state": state}
        next_state, representation = self._step.run(("next_state", "representation"), named)
        return next_state, representation

    def rank(self, representation: NDArray[np.float32], item: NDArray[np.int64]) -> NDArray[np.int32]:
        """(B, R) representation, (B,) item -> (B,) rank of the item in the whole catalogue, 0 for an unknown item.

        Ties count against the model: the rank is the number of items that score at least as high.
        """
        return self.predict(representation, item)[0]

    def predict(
        self, representation: NDArray[np.float32], item: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """`rank` and what the heads give: (B, A + 1) probabilities of the next action, (B, 3K) mixtures of its time.

        Without heads both have 0 columns. One run for all: the runtime computes outputs that nobody asks for as well.
        """
        tile, run = self._tile, self._predict.run
        ranks = np.empty(len(item), np.int32)
        heads = [np.empty((len(item), width), np.float32) for width in self._heads.values()]
        for start in range(0, len(item), tile):
            part = slice(start, start + tile)
            inputs = {"representation": representation[part], "item": item[part]}
            ranks[part], *given = run(("rank", *self._heads), inputs)
            for whole, values in zip(heads, given, strict=True):
                whole[part] = values
        action, time = heads or [np.empty((len(item), 0), np.float32)] * 2
        return ranks, action, time
