"""The vocabulary: the index of each item, action, category and brand that a model knows. It does not need torch."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.features import BRAND
from encoder.errors import InputError


class Vocabulary(msgspec.Struct, frozen=True):
    """Ids and texts in the order of their indices: position p has the index p + 1. Index 0 means unknown."""

    items: list[str]
    actions: list[str]
    item_names: list[str] | None = None  # names that people read, when the log has such names
    categories: list[str] = []
    brands: list[str] = []

    @classmethod
    def from_log(cls, log: EventLog, min_support: int) -> Vocabulary:
        """All actions of a log, and its items, categories and brands with at least `min_support` events.

        The most frequent entries come first. Raises InputError when no item has `min_support` events.
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
        """This vocabulary, followed by the entries that `from_log` finds in a newer log and that are new.

        Known entries keep their indices. Raises InputError when the log has no known item.
        """
        if not self.item_index(log).any():
            raise InputError(
                f"none of the log's {len(log.item_ids)} items is known to the model: give a log of the same catalogue, "
                "or train a new model"
            )
        items = _appended(self.items, _by_frequency(log.item_ids, log.item, min_support))
        names = log.item_names or {}
        return msgspec.structs.replace(
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

    def item_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's item. An item that is not in the vocabulary has the index 0."""
        return _indices(log.item_ids, self.items)[log.item]

    def action_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's action. An action that is not in the vocabulary has the index 0."""
        return _indices(log.actions, self.actions)[log.action]

    def category_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's category. A missing category and an unknown category have the index 0."""
        return _indices(log.categories, self.categories)[log.category]

    def brand_index(self, log: EventLog) -> NDArray[np.int64]:
        """(n,) index of every event's brand. A missing brand and an unknown brand have the index 0."""
        brands = log.attributes.get(BRAND)
        return np.zeros(len(log), np.int64) if brands is None else _indices(brands.values, self.brands)[brands.codes]


def _appended(known: list[str], values: list[str]) -> list[str]:
    return list(dict.fromkeys([*known, *values]))


def _by_frequency(values: list[str], codes: NDArray[np.integer], min_support: int) -> list[str]:
    counts = np.bincount(codes[codes >= 0], minlength=len(values)).tolist()
    kept = [(-count, value) for value, count in zip(values, counts, strict=True) if count >= max(1, min_support)]
    return [value for _, value in sorted(kept)]


def _indices(values: list[str], known: list[str]) -> NDArray[np.int64]:
    """(len(values) + 1,) index of each value in `known`, 0 for unknown ones.

    The additional last entry is 0. The code -1 (MISSING) selects this entry.
    """
    index = {value: i for i, value in enumerate(known, 1)}
    return np.array([*(index.get(value, 0) for value in values), 0], np.int64)
