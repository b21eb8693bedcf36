"""The check that the exported graphs compute what the trained model computes.

The model computes in its sequence form, the form it was trained in. The graphs step event by event.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from encoder.data.features import BRAND, CATEGORY, HOUR_MS, PRICE, TIME, Features
from encoder.data.recent_items import PLACES
from encoder.data.sequences import Sequences
from encoder.errors import BundleError
from encoder.model.user_model import UserModel
from export.graphs.bought_items import bought_places
from export.runtime.float16_ranks import float16_rank_differences
from export.runtime.inputs import StepInputs
from export.runtime.providers import CPU, open_session, session_options
from export.runtime.queries import make_queries, recent_items

SEQUENCES = 64
STEPS = 1_000
SAMPLE = 2_000  # about so many representations are ranked
TILE_EVENTS = 256
TILE_SCORES = 16_000_000  # of a tile of events over the catalogue, 128 MB as float64
# The largest difference of a component in float32, relative to the largest component where that is above 1.
TOLERANCE = 1e-5


def recent_places(model: UserModel) -> int:
    """K, the number of recent items that the model scores, or 0."""
    return 0 if model.recent is None else PLACES


class RandomSequences(NamedTuple):
    """64 sequences of up to 1,000 events."""

    lengths: NDArray[np.int64]  # (64,), the longest first
    events: StepInputs  # (64, 1000) each; the events after a sequence's length count for nothing


def check_parity(
    model: UserModel,
    path: Path,
    seed: int = 0,
    *,
    purchases: Sequence[int] = (),
    in_float16: bool = False,
    unaligned: UserModel | None = None,
) -> dict[str, Any]:
    """Compare the graphs in `path` with the model, over random sequences that end at different lengths.

    purchases: the indices of the actions that buy an item. in_float16: also compare ranks in float16 with ranks in
    float32, without a limit. unaligned: the model before its vectors were rotated, whose scores the graphs must give as
    well. Returns the result for the manifest. Raises BundleError where a difference exceeds its
    tolerance.
    """
    sequences = random_sequences(model, seed)
    exported, queries = _step_graph(model, path, purchases, sequences)
    bought, states = np.split(exported, [bought_places(purchases)], axis=1)
    _require("bought items", _bought_errors(purchases, sequences, bought), 0)
    is_event = np.arange(STEPS) < sequences.lengths[:, None]
    sample = queries[is_event][:: max(1, int(is_event.sum()) // SAMPLE)]
    result = _check_recurrence(model, sequences, states, queries)
    result["rank_errors"] = _rank_errors(model, path, sample, seed)
    _require("ranks", result["rank_errors"], 0)
    differences: dict[str, tuple[str, float]] = {}
    if model.recent is not None:
        differences["recent"] = "recent items", _recent_difference(model, sequences, states)
    if model.heads is not None:
        differences["head"] = "heads", _head_difference(model, path, sample)
    if unaligned is not None:
        difference = _score_difference(model, unaligned, sequences, queries)
        differences["aligned_score"] = "scores after the alignment", difference
    for name, (what, difference) in differences.items():
        _require(what, difference, TOLERANCE)
        result |= {f"{name}_max_rel_diff": _rounded(difference), f"{name}_tolerance": TOLERANCE}
    if in_float16:
        scoring, vectors = sample[:, : model.config.width], model.item_vectors().detach().numpy()
        result["half_ranks"] = float16_rank_differences(scoring, vectors, seed)
    return result


def _check_recurrence(
    model: UserModel, sequences: RandomSequences, states: NDArray[np.float32], queries: NDArray[np.float32]
) -> dict[str, Any]:
    """Compare the recurrent states (64, S) after the sequences, and the representations after each event."""
    lengths = sequences.lengths
    expected_states, expected = _sequence_form(model, sequences)
    is_event = np.arange(STEPS) < lengths[:, None]
    representations = queries[..., : model.representation_width]
    representation_difference = float(np.abs(representations - expected)[is_event].max())
    state_difference = float(np.abs(states[:, : model.recurrent_width] - expected_states).max())
    # An LSTM's memory counts without bound, and the rounding of float32 grows with it, in the graph as in torch. See
    # docs/decisions.md#parity-relative-to-the-largest-component
    state_tolerance = TOLERANCE * max(1.0, float(np.abs(expected_states).max()))
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected[is_event]).max()))
    _require("states", state_difference, state_tolerance)
    _require("representations", representation_difference, tolerance)
    return {
        "sequences": SEQUENCES,
        "steps": int(lengths.sum()),
        "longest": int(lengths.max()),
        "state_max_abs_diff": _rounded(state_difference),
        "state_tolerance": _rounded(state_tolerance),
        "representation_max_abs_diff": _rounded(representation_difference),
        "representation_tolerance": _rounded(tolerance),
    }


def random_sequences(model: UserModel, seed: int) -> RandomSequences:
    """Random sequences with every boundary of the gaps, unknown items and actions, and the model's features.

    Every eighth sequence, and so the longest one, repeats one event: a memory grows most under one event, and with it
    the rounding of float32.
    """
    rng = np.random.default_rng(seed)
    config, shape = model.config, (SEQUENCES, STEPS)
    lengths = np.sort(np.append(rng.integers(1, STEPS + 1, SEQUENCES - 2), [1, STEPS]))[::-1].copy()
    gap_ms = np.exp(rng.uniform(0, np.log(1e13), shape)).astype(np.int64)
    boundaries = np.array(config.gap_boundaries_ms, np.int64)
    edges = rng.choice(np.concatenate([boundaries - 1, boundaries, boundaries + 1]), shape)
    gap_ms = np.where(rng.random(shape) < 0.3, np.maximum(edges, 0), gap_ms)
    item, action = rng.integers(0, config.items + 1, shape), rng.integers(0, config.actions + 1, shape)
    for values in (item, action, gap_ms):
        values[::8] = values[::8, :1]
    gap_ms[:, 0] = -1
    return RandomSequences(lengths, StepInputs(item, action, gap_ms, _random_features(model, seed)))


def _random_features(model: UserModel, seed: int) -> Features:
    """(64, 1000) of each feature of the model, with every edge of hours and prices, and missing and unknown values."""
    rng = np.random.default_rng(seed + 1)
    config, shape = model.config, (SEQUENCES, STEPS)
    time_ms = rng.integers(0, 4_102_444_800_000, shape)  # to the year 2100
    edge_ms = time_ms // HOUR_MS * HOUR_MS + rng.integers(-1, 2, shape)
    bounds = np.array([0.0, *config.price_boundaries], np.float32)
    around = np.stack([np.nextafter(bounds, np.float32(-np.inf)), bounds, np.nextafter(bounds, np.float32(np.inf))])
    edges = rng.choice(np.append(around, np.float32(np.nan)), shape)
    price = np.exp(rng.uniform(-5, 12, shape)).astype(np.float32)
    features: Features = {
        TIME: np.where(rng.random(shape) < 0.3, np.maximum(edge_ms, 0), time_ms),
        CATEGORY: rng.integers(0, config.categories + 1, shape),
        BRAND: rng.integers(0, config.brands + 1, shape),
        PRICE: np.where(rng.random(shape) < 0.5, edges, price),
    }
    return {name: features[name] for name in config.features}


def _require(what: str, difference: float, tolerance: float) -> None:
    # A difference that is not a number fails this comparison, as it should.
    if not difference <= tolerance:
        raise BundleError(
            f"parity of {what} failed: {difference:g} is above {tolerance:g}; the model cannot be exported"
        )


def _open(graph: Path) -> ort.InferenceSession:
    # One thread adds in one order, so that the same model gives the same figures in the manifest.
    return open_session(graph, CPU, session_options(threads=1))


def _step_graph(
    model: UserModel, path: Path, purchases: Sequence[int], sequences: RandomSequences
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(64, S) exported states after each sequence's last event, and (64, 1000, Q) queries after each event."""
    session = _open(path / "step.onnx")
    events = sequences.events.by_name()
    states = np.pad(model.initial_state(SEQUENCES).numpy(), ((0, 0), (bought_places(purchases), 0)))
    places, outputs = recent_places(model), ("next_state", "representation")
    queries = np.zeros((SEQUENCES, STEPS, model.representation_width + 2 * places), np.float32)
    for t in range(STEPS):
        active = int((sequences.lengths > t).sum())
        inputs = {name: values[:active, t] for name, values in events.items()}
        states[:active], representation = session.run(outputs, {**inputs, "state": states[:active]})
        queries[:active, t] = make_queries(representation, states[:active], places)
    return states, queries


@torch.no_grad()
def _sequence_form(model: UserModel, sequences: RandomSequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The recurrent states and the representations by the model's sequence form.

    The form runs from each length at which a sequence ends to the next.
    """
    model.eval()
    lengths, events = sequences.lengths, sequences.events
    states = model.initial_recurrent_state(SEQUENCES)
    representations = torch.zeros(SEQUENCES, STEPS, model.representation_width)
    begin = 0
    for end in np.unique(lengths).tolist():
        active = int((lengths >= end).sum())
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(values[:active, begin:end]))
            for name, values in events.by_name().items()
        }
        item, action, gap_ms = (tensors.pop(name) for name in ("item", "action", "gap_ms"))
        representations[:active, begin:end], states[:active] = model.sequence(
            item, action, gap_ms, states[:active], tensors
        )
        begin = end
    return states.numpy(), representations.numpy()


@torch.no_grad()
def _score_difference(
    model: UserModel, unaligned: UserModel, sequences: RandomSequences, queries: NDArray[np.float32]
) -> float:
    """The largest difference between a score by the graph and a score of the model before its rotation.

    The difference is relative to the largest score where that is above 1. queries: (64, 1000, Q) of the graph.
    """
    _, representations = _sequence_form(unaligned, sequences)
    is_event, width = np.arange(STEPS) < sequences.lengths[:, None], model.config.width
    every = max(1, int(is_event.sum()) // SAMPLE)
    sides = [
        (vectors[is_event][::every, :width].astype(np.float64), of.item_vectors().double().numpy().T)
        for vectors, of in ((queries, model), (representations, unaligned))
    ]
    difference, largest = np.float64(0), np.float64(1)
    for tile in _tiles(len(sides[0][0]), model.config.items):
        actual, expected = (vectors[tile] @ items for vectors, items in sides)
        difference = np.maximum(difference, np.abs(actual - expected).max())  # keeps a value that is not a number
        largest = np.maximum(largest, np.abs(expected).max())
    return float(difference / largest)


@torch.no_grad()
def _recent_difference(model: UserModel, sequences: RandomSequences, states: NDArray[np.float32]) -> float:
    """The largest difference of a number of the recent items, relative to the number where it is above 1.

    states: (64, S) after each sequence's last event. The expected items come from the form of training and evaluation,
    which finds the items for all events at once.
    """
    assert model.recent is not None
    events, lengths = sequences.events, sequences.lengths
    # Another event follows each sequence. The items before this event are those after the sequence.
    item, action, gap_ms = (np.pad(part, ((0, 0), (0, 1))) for part in (events.item, events.action, events.gap_ms))
    is_event = np.arange(STEPS + 1) <= lengths[:, None]
    starts = np.append(0, np.cumsum(lengths + 1))
    flat = Sequences(starts, item[is_event], action[is_event], gap_ms[is_event], np.arange(starts[-1]), {})
    recent = flat.recent_positions.before(starts[1:] - 1)
    fields = [torch.from_numpy(part) for part in (recent.item, recent.action, recent.age_s, recent.count)]
    scores = model.recent(*fields).numpy()
    wanted = np.concatenate([recent.item, recent.action, recent.age_s, recent.count, scores], axis=1)
    actual = states[:, model.recurrent_width :]
    return float((np.abs(actual - wanted) / np.maximum(1, np.abs(wanted))).max())


def _bought_errors(purchases: Sequence[int], sequences: RandomSequences, bought: NDArray[np.float32]) -> int:
    """The number of wrong places among the bought items (64, K) after each sequence's last event."""
    expected = np.zeros_like(bought)
    events = sequences.events
    for row, length in enumerate(sequences.lengths.tolist()):
        item, action = events.item[row, :length], events.action[row, :length]
        newest_first = item[np.isin(action, purchases) & (item > 0)][::-1]
        distinct = list(dict.fromkeys(newest_first.tolist()))[: bought.shape[1]]
        expected[row, : len(distinct)] = distinct
    return int((expected != bought).sum())


def _rank_errors(model: UserModel, path: Path, queries: NDArray[np.float32], seed: int) -> int:
    """The number of ranks outside the limits of exact scores. Ties and near ties in float32 may fall either way."""
    config = model.config
    item = np.random.default_rng(seed).integers(0, config.items + 1, len(queries))
    places, width = recent_places(model), config.width
    if places:  # half of the ranked items are among the recent items
        recent, _ = recent_items(queries, places)
        item = np.where(np.arange(len(item)) % 2, recent[np.arange(len(item)), np.arange(len(item)) % places], item)
    session = _open(path / "predict.onnx")
    name = session.get_inputs()[0].name
    vectors = model.item_vectors().detach().double().numpy()
    errors = 0
    for tile in _tiles(len(item), config.items):
        (ranks,) = session.run(("rank",), {name: queries[tile], "item": item[tile]})
        scores = queries[tile, :width].astype(np.float64) @ vectors.T
        recent, added = recent_items(queries[tile], places)
        row, place = np.nonzero(recent)
        scores[row, recent[row, place] - 1] += added[row, place]
        target = scores[np.arange(len(scores)), np.maximum(item[tile] - 1, 0)][:, None]
        slack = 1e-5 * max(1.0, float(np.abs(scores).max()))
        best = (scores >= target + slack).sum(axis=1) + 1
        worst = (scores >= target - slack).sum(axis=1)
        is_known = item[tile] > 0
        errors += int((is_known & ((ranks < best) | (ranks > worst))).sum() + (~is_known & (ranks != 0)).sum())
    return errors


@torch.no_grad()
def _head_difference(model: UserModel, path: Path, queries: NDArray[np.float32]) -> float:
    """The largest difference of a number of the heads, relative to the number where it is above 1."""
    assert model.heads is not None
    session, largest = _open(path / "predict.onnx"), np.float32(0)
    # The run computes the ranks as well, whether they are asked for or not. So the tiles are those of ranks.
    for tile in _tiles(len(queries), model.config.items):
        some, width = queries[tile], model.representation_width
        inputs = {session.get_inputs()[0].name: some, "item": np.zeros(len(some), np.int64)}
        outputs = session.run(("action_probability", "time_mixture"), inputs)
        for actual, tensor in zip(outputs, model.heads.outputs(torch.from_numpy(some[:, :width])), strict=True):
            expected = tensor.numpy()
            difference = np.abs(actual - expected) / np.maximum(1, np.abs(expected))
            largest = np.maximum(largest, difference.max())  # unlike `max`, this keeps a value that is not a number
    return float(largest)


def _tiles(events: int, items: int) -> Iterator[slice]:
    """Slices of the events whose scores over the catalogue fit into memory."""
    size = max(1, min(TILE_EVENTS, TILE_SCORES // max(1, items)))
    return (slice(start, start + size) for start in range(0, events, size))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
