"""The proof that the exported graphs compute what the trained model computes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from encoder.data.features import BRAND, CATEGORY, HOUR_MS, PRICE, TIME, Features
from encoder.errors import BundleError
from encoder.model.user_model import UserModel
from export.runtime.float16_ranks import float16_rank_differences

SEQUENCES = 64
STEPS = 1_000
SCORES = 16_000_000  # of events over the catalogue at a time, 128 MB as float64
TOLERANCE = 1e-5  # largest difference of a state or representation component over the largest one if above 1, float32


def check_parity(model: UserModel, path: Path, seed: int = 0, *, in_float16: bool = False) -> dict[str, Any]:
    """Step the graphs in `path` and the model over the same ragged random sequences, to be put into the manifest.

    The graphs run event by event, the model in its sequence form, the one it was trained in: 64 sequences of up to
    1,000 events, the batch shrinking as they end. in_float16: also measure ranks in float16, which nothing is proven of.
    Raises BundleError where a difference exceeds its tolerance.
    """
    lengths, item, action, gap_ms = random_sequences(model, seed)
    features = random_features(model, seed)
    states, representations = _stepped(model, path, lengths, item, action, gap_ms, features)
    expected_states, expected = _trained_form(model, lengths, item, action, gap_ms, features)
    mask = np.arange(STEPS) < lengths[:, None]
    representation_diff = float(np.abs(representations - expected)[mask].max())
    state_diff = float(np.abs(states - expected_states).max())
    sample = representations[mask][:: max(1, int(mask.sum()) // 2_000)]
    rank_errors = _rank_errors(model, path, sample, seed)
    head_diff = _head_diff(model, path, sample)
    # An LSTM's memory counts without bound, and what float32 rounds off grows with it. One trained on RecSys'15 counts
    # a single item every 20 s up to 35: the graph is then 1.1e-4 off the model in float64, torch's own kernel 1.6e-4.
    state_tolerance = TOLERANCE * max(1.0, float(np.abs(expected_states).max()))
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected[mask]).max()))
    for what, value, limit in (
        ("states", state_diff, state_tolerance),
        ("representations", representation_diff, tolerance),
        ("ranks", rank_errors, 0),
        ("heads", head_diff, TOLERANCE),
    ):
        if not value <= limit:
            raise BundleError(f"parity of {what} failed: {value:g} is above {limit:g}; the model cannot be exported")
    return {
        "sequences": SEQUENCES,
        "steps": int(lengths.sum()),
        "longest": int(lengths.max()),
        "state_max_abs_diff": _rounded(state_diff),
        "state_tolerance": _rounded(state_tolerance),
        "representation_max_abs_diff": _rounded(representation_diff),
        "representation_tolerance": _rounded(tolerance),
        "rank_errors": rank_errors,
        **({} if model.heads is None else {"head_max_rel_diff": _rounded(head_diff), "head_tolerance": TOLERANCE}),
        **({"half_ranks": _half_ranks(model, sample, seed)} if in_float16 else {}),
    }


def _half_ranks(model: UserModel, representations: NDArray[np.float32], seed: int) -> dict[str, dict[str, float]]:
    return float16_rank_differences(
        representations[:, : model.config.width], model.item_vectors().detach().numpy(), seed
    )


def random_sequences(
    model: UserModel, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(64,) lengths, longest first, and (64, 1000) items, actions and gaps with every boundary and the unknowns.

    Every eighth, and so the longest, is one event over and over: what a memory adds up, and with it what float32 rounds
    off, grows most under these.
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
    return lengths, item, action, gap_ms


def random_features(model: UserModel, seed: int) -> Features:
    """(64, 1000) of each feature of the model, with every edge of time and price, and what is missing or unknown."""
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


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # one order of summation: the same bundle from the same model
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _stepped(
    model: UserModel,
    path: Path,
    lengths: NDArray[np.int64],
    item: NDArray[np.int64],
    action: NDArray[np.int64],
    gap_ms: NDArray[np.int64],
    features: Features,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(64, S) state after each sequence's last event, (64, 1000, R) representation after each event."""
    session = _session(path / "step.onnx")
    states = model.initial_state(SEQUENCES).numpy()
    representations = np.zeros((*item.shape, model.representation_width), np.float32)
    for t in range(STEPS):
        active = int((lengths > t).sum())
        values = {"item": item, "action": action, "gap_ms": gap_ms, **features}
        feeds = {name: value[:active, t] for name, value in values.items()}
        states[:active], representations[:active, t] = session.run(None, {**feeds, "state": states[:active]})
    return states, representations


@torch.no_grad()
def _trained_form(
    model: UserModel,
    lengths: NDArray[np.int64],
    item: NDArray[np.int64],
    action: NDArray[np.int64],
    gap_ms: NDArray[np.int64],
    features: Features,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `_stepped` gives, by the model's sequence form: from each length at which sequences end to the next."""
    model.eval()
    states = model.initial_state(SEQUENCES)
    representations = torch.zeros(*item.shape, model.representation_width)
    begin = 0
    for end in np.unique(lengths).tolist():
        active = int((lengths >= end).sum())
        items, actions, gaps, *others = (
            torch.from_numpy(np.ascontiguousarray(values[:active, begin:end]))
            for values in (item, action, gap_ms, *features.values())
        )
        representations[:active, begin:end], states[:active] = model.sequence(
            items, actions, gaps, states[:active], dict(zip(features, others, strict=True))
        )
        begin = end
    return states.numpy(), representations.numpy()


def _rank_errors(model: UserModel, path: Path, representations: NDArray[np.float32], seed: int) -> int:
    """How many ranks lie outside what exact scores allow: a tie or near tie in float32 may fall either way."""
    config = model.config
    item = np.random.default_rng(seed).integers(0, config.items + 1, len(representations))
    session = _session(path / "predict.onnx")
    vectors = model.item_vectors().detach().double().numpy()
    errors = 0
    for part in _tiles(len(item), config.items):
        (ranks,) = session.run(("rank",), {"representation": representations[part], "item": item[part]})
        scores = representations[part, : config.width].astype(np.float64) @ vectors.T
        target = scores[np.arange(len(scores)), np.maximum(item[part] - 1, 0)][:, None]
        slack = 1e-5 * max(1.0, float(np.abs(scores).max()))
        best = (scores >= target + slack).sum(axis=1) + 1
        worst = (scores >= target - slack).sum(axis=1)
        known = item[part] > 0
        errors += int((known & ((ranks < best) | (ranks > worst))).sum() + (~known & (ranks != 0)).sum())
    return errors


@torch.no_grad()
def _head_diff(model: UserModel, path: Path, representations: NDArray[np.float32]) -> float:
    """Largest difference of a number of the heads, relative to its size where that is above 1; 0 without heads."""
    if model.heads is None:
        return 0.0
    session, worst = _session(path / "predict.onnx"), np.float32(0)
    for part in _tiles(len(representations), model.config.items):  # the run ranks as well, whoever asks for it
        some = representations[part]
        feeds = {"representation": some, "item": np.zeros(len(some), np.int64)}
        got = session.run(("action_probability", "time_mixture"), feeds)
        for one, other in zip(got, (o.numpy() for o in model.heads.outputs(torch.from_numpy(some))), strict=True):
            worst = np.maximum(worst, (np.abs(one - other) / np.maximum(1, np.abs(other))).max())  # keeps not-a-number
    return float(worst)


def _tiles(events: int, items: int) -> Iterator[slice]:
    """Stretches of the events whose scores over the catalogue fit into memory."""
    size = max(1, min(256, SCORES // max(1, items)))
    return (slice(start, start + size) for start in range(0, events, size))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
