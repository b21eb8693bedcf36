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


@dataclass(frozen=True)
class Outlook:
    """What readers get of a user. K is 0 for a bundle without recent items, and B without purchase actions."""

    representation: Vector  # (R,)
    recent_items: NDArray[np.int64]  # (K,) rows of item_vectors.npy, -1 for an empty place
    recent_scores: Vector  # (K,)
    bought_items: NDArray[np.int64]  # (B,) as recent_items

    def difference(self, other: "Outlook") -> float:
        """The largest difference of two numbers; infinity for other items, other widths or a NaN."""
        for one, another in ((self.recent_items, other.recent_items), (self.bought_items, other.bought_items)):
            if not np.array_equal(one, another):
                return float("inf")
        return max(
            largest_difference(self.representation, other.representation),
            largest_difference(self.recent_scores, other.recent_scores),
        )


def largest_difference(one: Vector, other: Vector) -> float:
    """The largest difference of two components; infinity for vectors of different widths or with a NaN."""
    if one.shape != other.shape:
        return float("inf")
    difference = float(np.abs(one.astype(np.float64) - other).max(initial=0.0))
    return difference if difference == difference else float("inf")


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
        self.places: int = manifest.get("recent_places", 0)
        self.bought_places: int = manifest.get("bought_places", 0)
        self._purchases: list[str] = manifest.get("purchase_actions", [])
        self._features: list[str] = manifest.get("features", [])
        self._has_heads = bool(manifest.get("heads"))
        self._graphs = _Graphs(folder)
        self._index = {name: {text: at for at, text in enumerate(self.vocabulary[name], 1)} for name in VOCABULARIES}
        self._item_vectors: Vector = np.load(folder / "item_vectors.npy")[1:]
        self._score_tolerance = score_tolerance

    def initial(self) -> tuple[Vector, Outlook]:
        """The state (S,) float32 and the outlook of a user without history."""
        nothing = np.full(self.places, -1), np.zeros(self.places, np.float32), np.full(self.bought_places, -1)
        with np.load(self.folder / "initial.npz") as arrays:
            return arrays["state"], Outlook(arrays["representation"], *nothing)

    def step(self, event: dict[str, Any], gap_ms: int, state: Vector, before: Outlook) -> tuple[Vector, Outlook]:
        """The state (S,) and the outlook after the event. gap_ms: -1 for a user's first event."""
        inputs = {
            "item": self._number("items", event["item_id"]),
            "action": self._number("actions", event["action"]),
            "gap_ms": np.array([gap_ms], np.int64),
            "state": state[None],
            **{name: self._feature(name, event) for name in self._features},
        }
        outputs = ["next_state", "representation", *(["recent_items", "recent_scores"] if self.places else [])]
        next_state, *parts = self._graphs.step.run(outputs, inputs)
        if not self.places:
            parts += [np.empty((1, 0), np.int64), np.empty((1, 0), np.float32)]
        return next_state[0], Outlook(*(part[0] for part in parts), self._bought(event, before.bought_items))

    def _bought(self, event: dict[str, Any], before: NDArray[np.int64]) -> NDArray[np.int64]:
        """The bought items after the event. They come from the event alone, and not from the graph."""
        item = int(self._number("items", event["item_id"])[0])
        if event["action"] not in self._purchases or not item:
            return before
        others = [one for one in before.tolist() if one not in (item, -1)]
        after = [item, *others, *[-1] * self.bought_places]
        return np.array(after[: self.bought_places])

    def predict(self, event: dict[str, Any], outlook: Outlook) -> Prediction:
        """What the outlook from before the event predicted of the event."""
        item = self._number("items", event["item_id"])
        outputs = ["rank", "action_probability"] if self._has_heads else ["rank"]
        is_filled = outlook.recent_items > 0
        query = np.concatenate([outlook.representation, outlook.recent_items * is_filled, outlook.recent_scores])
        name = "query" if self.places else "representation"
        values = self._graphs.predict.run(outputs, {name: query[None].astype(np.float32), "item": item})
        probability = None
        if self._has_heads:
            probability = float(values[1][0, self._number("actions", event["action"])[0]])
        if item[0] == 0:
            return Prediction(None, None, None, probability)
        scores = self._item_vectors @ outlook.representation
        scores[outlook.recent_items[is_filled] - 1] += outlook.recent_scores[is_filled]
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
