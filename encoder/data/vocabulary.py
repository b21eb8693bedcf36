"""Names of items and actions as indices. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.features import BRAND
from encoder.errors import InputError

if TYPE_CHECKING:
    from encoder.data.event_log import EventLog


class Vocabulary(msgspec.Struct, frozen=True):
    """Names in index order: position p holds index p + 1; index 0 means unknown."""

    items: list[str]
    actions: list[str]
    item_names: list[str] | None = None  # names for people, where the log has them
    categories: list[str] = []
    brands: list[str] = []

    @classmethod
    def of(cls, log: EventLog, min_support: int) -> Vocabulary:
        """Items, categories and brands with at least `min_support` events and all actions of a log, the most frequent
        first.

        Raises InputError where no item has that support.
        """
        items = _by_frequency(log.item_ids, log.item, min_support)
        if not items:
            raise InputError(
                f"no item of the log has {min_support} events ({len(log)} events, {len(log.item_ids)} items): "
                "lower the minimum support or give a longer log"
            )
        actions = _by_frequency(log.actions, log.action, 1)
        names = log.item_names
        brands = log.attributes.get(BRAND)
        return cls(
            items,
            actions,
            None if names is None else [names.get(item, item) for item in items],
            categories=_by_frequency(log.categories, log.category, min_support),
            brands=[] if brands is None else _by_frequency(*brands, min_support),
        )

    def extended(self, log: EventLog, min_support: int) -> Vocabulary:
        """These names in their places, and after them what `of` finds in a newer log and is not among them.

        Raises InputError where the log has no item of the result.
        """
        items = _appended(self.items, _by_frequency(log.item_ids, log.item, min_support))
        names = log.item_names or {}
        wider = msgspec.structs.replace(
            self,
            items=items,
            actions=_appended(self.actions, _by_frequency(log.actions, log.action, 1)),
            item_names=None
            if self.item_names is None
            else self.item_names + [names.get(item, item) for item in items[len(self.items) :]],
            categories=_appended(self.categories, _by_frequency(log.categories, log.category, min_support)),
            brands=_appended(self.brands, _by_frequency(*log.attributes[BRAND], min_support))
            if BRAND in log.attributes
            else self.brands,
        )
        if not wider.item_index(log).any():
            raise InputError(
                f"none of the log's {len(log.item_ids)} items is known to the model or has {min_support} events: give "
                "a log of the same catalogue, or lower the minimum support"
            )
        return wider

    def item_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's item, 0 where the item is not in the vocabulary."""
        return _indices(log.item_ids, self.items)[log.item]

    def action_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's action, 0 where the action is not in the vocabulary."""
        return _indices(log.actions, self.actions)[log.action]

    def category_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's category, 0 where it has none or one that is not in the vocabulary."""
        return _indices(log.categories, self.categories)[log.category]

    def brand_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's brand, 0 where it has none or one that is not in the vocabulary."""
        brands = log.attributes.get(BRAND)
        return np.zeros(len(log), np.int64) if brands is None else _indices(brands.names, self.brands)[brands.codes]


def _appended(known: list[str], names: list[str]) -> list[str]:
    return list(dict.fromkeys([*known, *names]))


def _by_frequency(names: list[str], codes: NDArray[np.integer], min_support: int) -> list[str]:
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    kept = [(-count, name) for name, count in zip(names, counts, strict=True) if count >= max(1, min_support)]
    return [name for _, name in sorted(kept)]


def _indices(names: list[str], known: list[str]) -> NDArray[np.int64]:
    """(len(names) + 1,) index of each name; the last is that of code -1, which stands for no name."""
    index = {name: i for i, name in enumerate(known, 1)}
    return np.array([*(index.get(name, 0) for name in names), 0], np.int64)
