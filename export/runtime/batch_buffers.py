"""The inputs and outputs of the graphs for a GPU, of one batch size, at fixed addresses."""

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from encoder.data.features import PRICE
from export.runtime.bundle import Bundle
from export.runtime.device_buffer import DeviceBuffer
from export.runtime.inputs import event_columns


class BatchBuffers:
    """The buffers of one batch size, bound to the four graphs.

    The queries before a step and the items stay on the device: the step graph writes both, and the predict
    graph reads both. memory: (slots, S + R) float32 on the device, bound both as input and as output of the graphs that
    write. sessions: of the graphs `step`, `predict`, `read` and `write`.
    """

    def __init__(
        self,
        size: int,
        device: str,
        bundle: Bundle,
        memory: ort.OrtValue,
        sessions: dict[str, ort.InferenceSession],
    ) -> None:
        manifest = bundle.manifest
        self.size = size
        self.event = DeviceBuffer((size, len(event_columns(bundle.features))), np.int64, device)
        self.price = DeviceBuffer((size,), np.float32, device) if PRICE in bundle.features else None
        self.slot = DeviceBuffer((size,), np.int64, device)
        self.rows = DeviceBuffer((size, memory.shape()[1]), np.float32, device)
        self.predicted = {"rank": DeviceBuffer((size,), np.int32, device)}
        for name, width in manifest.heads.items():
            self.predicted[name] = DeviceBuffer((size, width), np.float32, device)
        before = ort.OrtValue.ortvalue_from_shape_and_type((size, bundle.query_width), np.float32, device)
        item = ort.OrtValue.ortvalue_from_shape_and_type((size,), np.int64, device)

        event = {"event": self.event.value} | ({} if self.price is None else {PRICE: self.price.value})
        memory_in, memory_out = {"memory": memory}, {"memory_after": memory}
        slot, rows = {"slot": self.slot.value}, {"rows": self.rows.value}
        query = sessions["predict"].get_inputs()[0].name
        predicted = {name: buffer.value for name, buffer in self.predicted.items()}
        self.bindings = {
            "step": _bind(sessions["step"], memory_in | event, memory_out | {"before": before, "item": item}),
            "predict": _bind(sessions["predict"], {query: before, "item": item}, predicted),
            "read": _bind(sessions["read"], memory_in | slot, rows),
            "write": _bind(sessions["write"], memory_in | slot | rows, memory_out),
        }


def _bind(
    session: ort.InferenceSession, inputs: Mapping[str, ort.OrtValue], outputs: Mapping[str, ort.OrtValue]
) -> ort.IOBinding:
    """A binding of all inputs and outputs of the session to these tensors."""
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in outputs.items():
        binding.bind_ortvalue_output(name, value)
    return binding
