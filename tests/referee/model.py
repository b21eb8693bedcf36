"""A bundle folder, read by its documented format: JSON, ONNX graphs and numpy arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Vector = NDArray[np.float32]
VOCABULARIES = ("items", "actions", "categories", "brands")


@dataclass(frozen=True)
class Prediction:
    """What a representation predicts of one event.

    rank: as predict.onnx counts, None for an item outside the catalogue. lowest_rank, highest_rank: the bounds that
    numpy finds from the item vectors, because another order of summation turns near ties around. action_probability:
    None without heads.
    """

    rank: int | None
    lowest_rank: int | None
    highest_rank: int | None
    action_probability: float | None


class Model:
    """Steps and predicts one event at a time on one thread of the CPU."""

    def __init__(self, folder: Path, score_tolerance: float) -> None:
        """score_tolerance: two scores of items that differ by less count as a near tie."""
        manifest = json.loads((folder / "manifest.json").read_text())
        vocabulary = json.loads((folder / "vocabulary.json").read_text())
        self.folder = folder
        self.bundle_id: str = manifest["bundle_id"]
        self.catalogue: int = manifest["items"]
        self.state_width: int = manifest["state_width"]
        self.representation_width: int = manifest["representation_width"]
        self.vocabulary: dict[str, list[str]] = {name: vocabulary.get(name) or [] for name in VOCABULARIES}
        self._features: list[str] = manifest.get("features", [])
        self._has_heads = bool(manifest.get("heads"))
        self._graphs = _Graphs(folder)
        self._index = {name: {text: at for at, text in enumerate(self.vocabulary[name], 1)} for name in VOCABULARIES}
        self._item_vectors: Vector = np.load(folder / "item_vectors.npy")[1:]
        self._score_tolerance = score_tolerance

    def initial(self) -> tuple[Vector, Vector]:
        """The state (S,) and the representation (R,) of a user without history, float32."""
        with np.load(self.folder / "initial.npz") as arrays:
            return arrays["state"], arrays["representation"]

    def step(self, event: dict[str, Any], gap_ms: int, state: Vector) -> tuple[Vector, Vector]:
        """The state (S,) and the representation (R,) after the event. gap_ms: -1 for a user's first event."""
        inputs = {
            "item": self._number("items", event["item_id"]),
            "action": self._number("actions", event["action"]),
            "gap_ms": np.array([gap_ms], np.int64),
            "state": state[None],
            **{name: self._feature(name, event) for name in self._features},
        }
        next_state, representation = self._graphs.step.run(["next_state", "representation"], inputs)
        return next_state[0], representation[0]

    def predict(self, event: dict[str, Any], representation: Vector) -> Prediction:
        """What the representation (R,) from before the event predicted of the event."""
        item = self._number("items", event["item_id"])
        outputs = ["rank", "action_probability"] if self._has_heads else ["rank"]
        values = self._graphs.predict.run(outputs, {"representation": representation[None], "item": item})
        probability = None
        if self._has_heads:
            probability = float(values[1][0, self._number("actions", event["action"])[0]])
        if item[0] == 0:
            return Prediction(None, None, None, probability)
        scores = self._item_vectors @ representation
        own = scores[item[0] - 1]
        lowest = 1 + int((scores > own + self._score_tolerance).sum())
        highest = int((scores >= own - self._score_tolerance).sum())
        return Prediction(int(values[0][0]), lowest, highest, probability)

    def _number(self, name: str, text: str | None) -> NDArray[np.int64]:
        return np.array([self._index[name].get(text, 0)], np.int64)

    def _feature(self, name: str, event: dict[str, Any]) -> NDArray[Any]:
        if name == "time_ms":
            return np.array([event["event_time_ms"]], np.int64)
        if name == "price":
            price = event.get("price")
            return np.array([np.nan if price is None else price], np.float32)
        if name == "category":
            return self._number("categories", event.get("category"))
        if name == "brand":
            return self._number("brands", (event.get("attributes") or {}).get("brand"))
        raise ValueError(f"{self.folder / 'manifest.json'} names the feature {name!r}, which the referee does not know")


class _Graphs:
    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.step, self.predict = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in ("step.onnx", "predict.onnx")
        )
