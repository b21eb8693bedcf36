"""Small models and bundles for tests. Their graphs are real and their weights are random."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.features import BRAND, CATEGORY, PRICE
from encoder.data.vocabulary import Vocabulary
from encoder.metrics.followers.companions import Companions
from encoder.model.config import ModelConfig
from encoder.model.user_model import UserModel
from export.exporter import export_model
from export.runtime.bundle import Bundle
from tests.support.sequences import sequences_of

torch.set_num_threads(1)  # a second thread only slows down models of this size

ACTIONS = ["view", "cart", "purchase"]


def tiny_model(
    items: int = 500,
    width: int = 32,
    seed: int = 0,
    cell: str = "gru",
    layers: int = 1,
    hidden: int | None = None,
    is_whole: bool = True,
    categories: int = 0,
) -> UserModel:
    """Return an untrained model with random weights.

    The model has all optional parts if `is_whole`, and otherwise only its cell. By default its hidden state is wider
    than its representation, so that code that confuses the two fails. categories: of the items, whose category n is
    that of every n-th item; 0: the model knows no categories.
    """
    torch.manual_seed(seed)
    shape = ModelConfig(
        content=(CATEGORY,) if categories else (),
        categories=categories,
        items=items,
        actions=len(ACTIONS),
        cell=cell,
        layers=layers,
        width=width,
        hidden=width + 8 if hidden is None else hidden,
        traces=is_whole,
        counters=is_whole,
        recent_items=is_whole,
        heads=is_whole,
    )
    model = UserModel(shape)
    model.initialize_popularity(torch.arange(items, 0, -1))
    parts = [model.shortcut.weight, model.following.weight]  # zero until trained
    if model.traces is not None:
        parts.append(model.traces.map.weight)
    if model.heads is not None:
        parts += [model.heads.action.weight, model.heads.time.weight]
    if model.recent is not None:
        parts += [model.recent.place, model.recent.action, model.recent.age, model.recent.count]
    for weight in parts:
        torch.nn.init.normal_(weight, std=0.1)
    if model.counters is not None:
        model.counters.usual += 1.5
    if categories:
        place = np.arange(items + 1)
        model.set_item_features({CATEGORY: place % (categories + 1), BRAND: place * 0, PRICE: place * np.float32(0)})
    return model.eval()


def tiny_bundle(
    path: Path,
    items: int = 500,
    width: int = 32,
    seed: int = 0,
    for_gpu: bool = False,
    in_float16: bool = False,
    purchases: Sequence[str] | None = None,
) -> Bundle:
    """Export a tiny model of the items item-1 to item-N and the actions view, cart and purchase to the folder."""
    model = tiny_model(items, width, seed)
    vocabulary = vocabulary_of([f"item-{i}" for i in range(1, items + 1)])
    return export_model(model, vocabulary, path, for_gpu=for_gpu, in_float16=in_float16, purchases=purchases)


def hybrid_bundle(path: Path, items: int = 300, categories: int = 9) -> Bundle:
    """Export a tiny model with categories and with random companions of its items to the folder."""
    names = [f"item-{i}" for i in range(1, items + 1)]
    labels = [f"category-{i}" for i in range(1, categories + 1)]
    visits = np.random.default_rng(4).integers(1, items + 1, (items, 5)).tolist()
    return export_model(
        tiny_model(items, categories=categories),
        Vocabulary(items=names, actions=ACTIONS, categories=labels),
        path,
        companions=Companions.count(sequences_of(*visits), items),
    )


def vocabulary_of(items: list[str]) -> Vocabulary:
    """Return a vocabulary of these items and the actions view, cart and purchase."""
    return Vocabulary(items=items, actions=ACTIONS)


def random_queries(bundle: Bundle, n: int, seed: int = 0) -> NDArray[np.float32]:
    """Return (n, Q) queries. A user's recent items are distinct, and a random number of the last places is empty."""
    rng, manifest = np.random.default_rng(seed), bundle.manifest
    places = manifest.recent_places
    representation = rng.normal(size=(n, manifest.representation_width))
    item = rng.permuted(np.tile(np.arange(1, manifest.items + 1), (n, 1)), axis=1)[:, :places]
    is_filled = np.arange(places) < rng.integers(0, places + 1, n)[:, None]
    added = rng.normal(size=(n, places))
    return np.concatenate([representation, item * is_filled, added * is_filled], axis=1).astype(np.float32)
