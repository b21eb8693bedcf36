"""Steps and predictions with the plain graphs of a bundle, for states that the caller holds."""

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.predictions import Predictions, unfilled_predictions
from export.runtime.providers import CPU, CUDA, CUDA_OPTIONS, cuda_failure, open_session, session_options

# The most scores of one tile of events over the catalogue: under 2 MB, so that the ranks are counted in the cache.
TILE_SCORES = 500_000
# The fewest events of one tile. The item vectors of a large catalogue do not stay in the cache, and are read once for a
# tile. A rank over 1,000,000 items takes 2.4 ms instead of 20.1 ms alone. See docs/decisions.md#rank-tiles
TILE_EVENTS = 32
# The most scores of one run on a GPU: 1 GiB as float32, and about as much again while the ranks are counted.
CUDA_TILE_SCORES = 2**28


class Stepper:
    """Steps events and predicts with step.onnx and predict.onnx, or on a GPU with step.onnx and gpu_predict.onnx.

    `provider` says where the graphs run. They run on CUDA where CUDA works and the bundle has graphs for a GPU that
    rank in float32. Otherwise they run on the CPU: float16 ranks are not exact, and without gpu_predict.onnx every
    score would be copied to the CPU, because CUDA has no kernel for the sum of bytes in predict.onnx.

    threads: threads of one operator; a step is too small to share. on_cpu: run on the CPU in any case. Raises
    BundleError where ONNX Runtime cannot load a graph.
    """

    def __init__(self, bundle: Bundle, threads: int = 1, *, on_cpu: bool = False) -> None:
        has_exact_gpu_graphs = bundle.has_gpu_graphs and not bundle.gpu_ranks_in_float16
        self.provider = CPU if on_cpu or not has_exact_gpu_graphs or cuda_failure() is not None else CUDA
        provider_options = CUDA_OPTIONS if self.provider == CUDA else {}
        options = session_options(threads)
        predict = "predict.onnx" if self.provider == CPU else "gpu_predict.onnx"
        self._step = open_session(bundle.path / "step.onnx", self.provider, options, provider_options)
        self._predict = open_session(bundle.path / predict, self.provider, options, provider_options)
        self._query = self._predict.get_inputs()[0].name
        self._head_widths = bundle.manifest.heads
        tile_scores = TILE_SCORES if self.provider == CPU else CUDA_TILE_SCORES
        self._tile = max(TILE_EVENTS, tile_scores // max(1, bundle.manifest.items))

    def step(self, inputs: StepInputs, state: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """B events and the (B, S) states before them -> the (B, S) states and (B, R) representations after them."""
        named = {**inputs.by_name(), "state": state}
        next_state, representation = self._step.run(("next_state", "representation"), named)
        return next_state, representation

    def rank(self, query: NDArray[np.float32], item: NDArray[np.int64]) -> NDArray[np.int32]:
        """(B, Q) queries of `Bundle.queries`, (B,) item -> (B,) rank of the item in the whole catalogue, 0 for item 0.

        Ties count against the model: the rank is the number of items that score at least as high as the item.
        """
        return self.predict(query, item).rank

    def predict(self, query: NDArray[np.float32], item: NDArray[np.int64]) -> Predictions:
        """(B, Q) queries, (B,) item -> the item's ranks, as of `rank`, and the outputs of the heads.

        One run gives both, because ONNX Runtime computes every output of a graph.
        """
        outputs = ("rank", *self._head_widths)
        predictions = unfilled_predictions(len(item), self._head_widths)
        arrays = predictions._asdict()
        for start in range(0, len(item), self._tile):
            tile = slice(start, start + self._tile)
            values = self._predict.run(outputs, {self._query: query[tile], "item": item[tile]})
            for name, value in zip(outputs, values, strict=True):
                arrays[name][tile] = value
        return predictions
