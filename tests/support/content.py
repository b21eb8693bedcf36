"""Logs whose items have a category, a brand and a price, and a model that uses every feature."""

from dataclasses import replace

import numpy as np
import torch

from encoder.data.event_log import Column, EventLog
from encoder.data.features import (
    BRAND,
    CATEGORY,
    ITEM_FEATURES,
    PRICE,
)
from encoder.data.vocabulary import Vocabulary
from encoder.model.user_model import ModelConfig, UserModel
from tests.support.logs import event_log

KINDS = ("cup", "pot", "tea")


def described(rows: list[tuple[str, str, str, int]], what: dict[str, tuple[str | None, str | None, float]]) -> EventLog:
    """A log whose items are what `what` says: category, brand, price."""
    log = event_log(rows)
    of_event = [what[log.item_ids[code]] for code in log.item.tolist()]
    categories, brands = (sorted({w[place] for w in what.values() if w[place]}) for place in (0, 1))
    codes = [
        [-1 if w[place] is None else names.index(w[place]) for w in of_event]
        for place, names in ((0, categories), (1, brands))
    ]
    return replace(
        log,
        categories=categories,
        category=np.array(codes[0], np.int32),
        attributes={BRAND: Column(brands, np.array(codes[1], np.int32))},
        price=np.array([w[2] for w in of_event]),
    )


def kinds_log(items: int, users: int = 60, steps: int = 10) -> EventLog:
    """Everyone stays with one kind of item. item-<kind><n>."""
    random = np.random.default_rng(0)
    rows = [
        (f"u{u}", f"{KINDS[u % 3]}{random.integers(items)}", "view", 1_000 * t)
        for t in range(steps)
        for u in range(users)
    ]
    what = {
        f"{kind}{n}": (kind, f"by{n % 2}", 10.0 * n + place) for place, kind in enumerate(KINDS) for n in range(items)
    }
    return described(rows, what)


def model_with_everything(items: int = 30) -> UserModel:
    """Random weights, every feature, and items with and without content."""
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
    )
    model = UserModel(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    place = np.arange(items + 1)
    price = np.where(place % 7 == 0, np.nan, place).astype(np.float32)
    model.know_items({CATEGORY: place % 5, BRAND: place % 6, PRICE: price})
    return model.eval()


def vocabulary_of_everything(items: int = 30) -> Vocabulary:
    return Vocabulary(
        [f"item-{i}" for i in range(1, items + 1)],
        ["view", "cart", "purchase"],
        categories=[f"category-{i}" for i in range(1, 5)],
        brands=[f"brand-{i}" for i in range(1, 6)],
    )
