"""Event logs with categories, brands and prices, and a model that uses all of these features."""

from dataclasses import replace

import numpy as np
import torch

from encoder.data.event_log import Column, EventLog
from encoder.data.features import (
    BRAND,
    CATEGORY,
    ITEM_FEATURES,
    PRICE,
    WEEK_MS,
)
from encoder.data.vocabulary import Vocabulary
from encoder.item_embeddings.embeddings import ItemEmbeddings, Preparation
from encoder.model.config import EmbeddingShape, ModelConfig
from encoder.model.user_model import UserModel
from tests.support.logs import event_log

KINDS = ("cup", "pot", "tea")


def log_with_content(
    rows: list[tuple[str, str, str, int]], content: dict[str, tuple[str | None, str | None, float]]
) -> EventLog:
    """Return a log of the rows, in which each item has the content (category, brand, price) that is given for it."""
    log = event_log(rows)
    of_event = [content[log.item_ids[code]] for code in log.item.tolist()]
    categories, brands = (sorted({values[place] for values in content.values() if values[place]}) for place in (0, 1))
    codes = [
        [-1 if values[place] is None else names.index(values[place]) for values in of_event]
        for place, names in ((0, categories), (1, brands))
    ]
    return replace(
        log,
        categories=categories,
        category=np.array(codes[0], np.int32),
        attributes={BRAND: Column(brands, np.array(codes[1], np.int32))},
        price=np.array([price for _, _, price in of_event]),
    )


def kinds_log(items: int, users: int = 60, steps: int = 10) -> EventLog:
    """Return a log in which each user views items of one kind only. Items are named <kind><n>, such as cup3."""
    random = np.random.default_rng(0)
    rows = [
        (f"u{u}", f"{KINDS[u % 3]}{random.integers(items)}", "view", 1_000 * t)
        for t in range(steps)
        for u in range(users)
    ]
    content = {
        f"{kind}{n}": (kind, f"by{n % 2}", 10.0 * n + place) for place, kind in enumerate(KINDS) for n in range(items)
    }
    return log_with_content(rows, content)


def kinds_embeddings(items: int, name: str = "text") -> ItemEmbeddings:
    """Return embeddings of the items of `kinds_log` that tell an item's kind, with a little noise."""
    random = np.random.default_rng(5)
    names = [f"{kind}{n}" for kind in KINDS for n in range(items)]
    kinds = np.repeat(np.eye(len(KINDS)), items, axis=0) @ random.normal(size=(len(KINDS), 8))
    return ItemEmbeddings(name, names, (10 + kinds + 0.1 * random.normal(size=kinds.shape)).astype(np.float32))


def model_with_all_features(items: int = 30) -> UserModel:
    """Return a model with random weights that uses every feature and the item embeddings "text" of width 6.

    Some of its items lack a price, a category, a brand or an embedding.
    """
    torch.manual_seed(0)
    config = ModelConfig(
        items=items,
        actions=3,
        width=16,
        hidden=24,
        week_hours=True,
        content=ITEM_FEATURES,
        categories=4,
        brands=5,
        price_boundaries=(1.5, 9.99, 100.0),
        item_embeddings={"text": EmbeddingShape(6, 6)},
    )
    model = UserModel(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    place = np.arange(items + 1)
    price = np.where(place % 7 == 0, np.nan, place).astype(np.float32)
    model.set_item_features({CATEGORY: place % 5, BRAND: place % 6, PRICE: price})
    names = vocabulary_with_all_features(items).items
    vectors = np.random.default_rng(0).normal(size=(items // 2, 6)).astype(np.float32)
    embeddings = ItemEmbeddings("text", names[: items // 2], vectors)
    assert model.embeddings is not None
    model.embeddings.set_preparation("text", Preparation.fit(embeddings, names))
    model.set_item_embeddings([embeddings], names)
    return model.eval()


def vocabulary_with_all_features(items: int = 30) -> Vocabulary:
    """Return the vocabulary that fits `model_with_all_features`."""
    return Vocabulary(
        [f"item-{i}" for i in range(1, items + 1)],
        ["view", "cart", "purchase"],
        categories=[f"category-{i}" for i in range(1, 5)],
        brands=[f"brand-{i}" for i in range(1, 6)],
    )


# Three items, of which one has no content. The log spans exactly a week.
CONTENT_LOG = log_with_content(
    [("ann", "a", "view", 0), ("bob", "b", "view", 10), ("ann", "c", "view", 20), ("ann", "a", "view", WEEK_MS)],
    {"a": ("cups", "acme", 2.0), "b": (None, None, float("nan")), "c": ("pots", None, 30.0)},
)
