"""Which items of a bundle pass filters, as masks by item index. Does no I/O."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.serve.catalogue.catalogue import NONE, Catalogue

MASKS_KEPT = 64  # combinations of filters of one bundle; a mask takes one byte for each item
MINUTE_MS, DAY_MS = 60_000, 86_400_000

Mask = NDArray[np.bool_]


class Filters(NamedTuple):
    """What a request wants of its items. An item without a value under a filter does not pass the filter.

    categories: any of these; none means every category.
    new_days: items that were first seen within so many days.
    """

    categories: tuple[str, ...] = ()
    price_min: float | None = None
    price_max: float | None = None
    new_days: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every available item passes."""
        return self == NO_FILTERS


NO_FILTERS = Filters()


class ItemMasks:
    """The masks of one bundle over one catalogue. A mask is computed once, and again after a change of the catalogue.

    The time of `new_days` counts in whole minutes, so that requests of one minute share a mask.
    """

    def __init__(self, catalogue: Catalogue, item_index: Mapping[str, int]) -> None:
        """item_index: the index of each item of the bundle, 1 to N."""
        self._catalogue = catalogue
        self._item_index = item_index
        self._row_of = np.full(len(item_index) + 1, NONE, np.int32)  # by item index
        self._mapped_rows = 0
        self._version = catalogue.version
        self._masks: OrderedDict[tuple[Filters, int], Mask] = OrderedDict()

    def allowed(self, filters: Filters, now_ms: int) -> Mask | None:
        """(N + 1,) whether an item may be recommended. None where all may, because the catalogue is empty.

        As soon as the catalogue has an item, an item that the catalogue lacks may not be recommended.
        """
        catalogue = self._catalogue
        if not catalogue.items and filters.is_empty:
            return None
        if catalogue.version != self._version:
            self._masks.clear()
            self._version = catalogue.version
        minute = 0 if filters.new_days is None else now_ms // MINUTE_MS
        mask = self._masks.get((filters, minute))
        if mask is None:
            self._map_new_rows()
            passing = np.append(passing_rows(catalogue, filters, minute * MINUTE_MS), False)
            mask = self._masks[filters, minute] = passing[self._row_of]
            if len(self._masks) > MASKS_KEPT:
                self._masks.popitem(last=False)
        else:
            self._masks.move_to_end((filters, minute))
        return mask

    def names(self, items: NDArray[np.int64]) -> list[str | None]:
        """The names of the items with these indices, None where the catalogue has no name."""
        self._map_new_rows()
        return self._catalogue.names(self._row_of[items].tolist())

    def _map_new_rows(self) -> None:
        item_ids, first = self._catalogue.item_ids, self._mapped_rows
        if first < len(item_ids):
            index_of = self._item_index.get
            index = [index_of(item_id, 0) for item_id in item_ids[first:]]
            self._row_of[index] = np.arange(first, len(item_ids))
            self._row_of[0] = NONE  # the items that the bundle does not know
            self._mapped_rows = len(item_ids)


def passing_rows(catalogue: Catalogue, filters: Filters, now_ms: int) -> Mask:
    """(n,) whether the item of each row of the catalogue is available and passes the filters."""
    rows = catalogue.rows
    passing: Mask = rows["available"].copy()
    if filters.categories:
        passing &= np.isin(rows["category"], catalogue.category_codes(filters.categories))
    if filters.price_min is not None:  # a comparison with not-a-number is false
        passing &= rows["price"] >= filters.price_min
    if filters.price_max is not None:
        passing &= rows["price"] <= filters.price_max
    if filters.new_days is not None:
        # A time in the future passes, because the clock of the shop may be ahead.
        passing &= rows["first_seen_ms"] >= max(0, now_ms - filters.new_days * DAY_MS)
    return passing
