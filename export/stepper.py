"""Steps and ranks: the bundle's two graphs in ONNX Runtime, on the GPU where there is one."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from encoder.errors import BundleError
from encoder.features import Features
from export.bundle import Bundle

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 keeps 10 bits of a factor's mantissa: states and ranks would not be those of the CPU.
CUDA_OPTIONS = {"use_tf32": "0"}

# Scores of one tile of events over the catalogue are kept under 2 MB, so that they are counted while still in cache.
TILE_SCORES = 500_000
# Of a large catalogue they cannot stay there: its vectors come from memory, once for so many events. Per rank over
# 1,000,000 items of width 64: 20.1 ms one at a time, 2.9 by 16, 2.4 by 32, 2.2 by 64; 128 MB of scores at 32.
TILE_EVENTS = 32


def providers() -> list[str]:
    """The execution providers to ask for: CUDA where the library and a device are there, else the CPU."""
    if CUDA in ort.get_available_providers() and _has_cuda_device():
        return [CUDA, CPU]
    return [CPU]


def ort_version() -> str:
    return str(ort.__version__)


def _has_cuda_device() -> bool:
    # The GPU package offers its provider on every machine: look for a driver before a session logs a failure.
    return any(Path(trace).exists() for trace in ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg"))


class Stepper:
    """The step and predict graphs of a bundle. `provider` says where they run; on_cpu: on the CPU in any case."""

    def __init__(self, bundle: Bundle, threads: int = 1, *, on_cpu: bool = False) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # one: a GRU step is too small to share, and cores belong to workers
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        chosen = [(name, CUDA_OPTIONS if name == CUDA else {}) for name in ([CPU] if on_cpu else providers())]
        try:
            self._step = ort.InferenceSession(bundle.path / "step.onnx", options, providers=chosen)
            self._predict = ort.InferenceSession(bundle.path / "predict.onnx", options, providers=chosen)
        except Exception as error:  # its errors have no common root
            raise BundleError(f"ONNX Runtime cannot load the graphs of {bundle.path}: {error}") from error
        self.provider = str(self._step.get_providers()[0])
        self.catalogue = bundle.manifest.items
        self._heads = bundle.manifest.heads
        self._tile = max(TILE_EVENTS, TILE_SCORES // max(1, self.catalogue))

    def step(
        self,
        item: NDArray[np.int64],
        action: NDArray[np.int64],
        gap_ms: NDArray[np.int64],
        state: NDArray[np.float32],
        features: Features,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B,) item, action and gap in ms, (B, S) state -> (B, S) next state, (B, R) representation.

        features: (B,) of the events, those that the bundle names.
        """
        inputs = {"item": item, "action": action, "gap_ms": gap_ms, "state": state, **features}
        next_state, representation = self._step.run(("next_state", "representation"), inputs)
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
