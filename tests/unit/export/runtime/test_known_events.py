"""The known events find graphs that give plausible but wrong results."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.errors import BundleError
from export import exporter, parity
from export.graphs.predict import predict_graph
from export.runtime.device_buffer import DeviceBuffer
from export.runtime.resident_states import ResidentStates
from tests.support.bundles import tiny_bundle

ITEMS = 100


def test_inputs_from_an_old_address_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured graph that does not read its inputs again computes every result from the first inputs."""
    first: dict[int, Any] = {}
    send = DeviceBuffer.send

    def send_first(self: Any, values: NDArray[Any], padding: Any) -> None:
        if self._host.ndim == 2 and self._host.dtype == np.int64 and len(values):
            values = first.setdefault(id(self), values)
        send(self, values, padding)

    bundle = tiny_bundle(tmp_path / "b", ITEMS, for_gpu=True)
    monkeypatch.setattr(DeviceBuffer, "send", send_first)
    message = r"the (state|representation) after a known event on CPUExecutionProvider, batches of 64 differs"
    with pytest.raises(BundleError, match=message):
        ResidentStates(bundle, 4, on_cpu=True)


@pytest.mark.parametrize("in_float16", [False, True])
def test_a_wrong_rank_is_found(in_float16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def negated_for_gpu(vectors: NDArray[np.float32], heads: Any, **options: Any) -> bytes:
        return predict_graph(-vectors if options.get("is_for_gpu") else vectors, heads, **options)

    monkeypatch.setattr(exporter, "predict_graph", negated_for_gpu)
    monkeypatch.setattr(parity, "STEPS", 3)
    wrong = tiny_bundle(tmp_path / "b", ITEMS, for_gpu=True, in_float16=in_float16)
    with pytest.raises(BundleError, match="the rank of a known event on CPUExecutionProvider"):
        ResidentStates(wrong, 4, on_cpu=True)
