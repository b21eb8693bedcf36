"""The items of the catalogue in memory, in columns. Does no I/O.

An item keeps its row for ever, also after the item was removed. So a mask can be computed over rows, and a bundle can
keep which row an item has.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.contracts.catalogue_items import CatalogueItem

MOST_BYTES = 1024**3  # of all items together
ROW_BYTES = 250  # of an item without its texts, measured: docs/decisions.md#the-catalogue-in-memory
FIRST_ROWS = 1_024
NONE = -1  # no category, or no time
ROW = np.dtype([("available", "?"), ("category", "<i4"), ("price", "<f8"), ("first_seen_ms", "<i8")])

_Texts = tuple[str | None, str | None, str | None]  # name, brand, address of the image


class Catalogue:
    """The last record of each item.

    version: grows with every change.
    items: number of items that were put and not removed.
    left_out: number of records of which something did not fit into `most_bytes`.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.version = 0
        self.items = 0
        self.left_out = 0
        self.item_ids: list[str] = []  # by row
        self._row_of: dict[str, int] = {}
        # By row: _Texts in MessagePack, because three texts of Python take 150 bytes more. A removed item has none.
        self._texts: list[bytes] = []
        self._rows = np.zeros(FIRST_ROWS, ROW)
        self._categories: list[str] = []
        self._category_code: dict[str, int] = {}
        self._most_bytes = most_bytes
        self._bytes = 0

    @property
    def rows(self) -> NDArray[np.void]:
        """(n,) of ROW: one row for each item that was ever put."""
        return self._rows[: len(self.item_ids)]

    def put(self, item: CatalogueItem) -> bool:
        """Replace what is known of an item. Returns False where the catalogue is full.

        A full catalogue leaves a new item out. An item that it has keeps its former texts, and its former category in
        place of one that no item had. Availability, price and time are those of the record, so that an item that is
        sold no more is not recommended.
        """
        texts = msgspec.msgpack.encode((item.name, item.brand, item.image_url))
        row = self._row_of.get(item.item_id)
        added = len(texts) - (0 if row is None else len(self._texts[row]))
        added += 0 if row is not None else ROW_BYTES + len(item.item_id)
        if item.category is not None and item.category not in self._category_code:
            added += ROW_BYTES + len(item.category)
        if added > 0 and self._bytes + added > self._most_bytes:
            self.left_out += 1
            if row is not None and self._texts[row]:
                self._set_row(row, item)
                self.version += 1
            return False
        self._bytes += added
        if row is None:
            row = self._new_row(item.item_id)
        self.items += not self._texts[row]
        self._texts[row] = texts
        if item.category is not None and item.category not in self._category_code:
            self._category_code[item.category] = len(self._categories)
            self._categories.append(item.category)
        self._set_row(row, item)
        self.version += 1
        return True

    def remove(self, item_id: str) -> None:
        """Forget an item. An item that is not there stays so."""
        row = self._row_of.get(item_id)
        if row is None or not self._texts[row]:
            return
        self._rows[row] = (False, NONE, math.nan, NONE)
        self._bytes -= len(self._texts[row])
        self._texts[row] = b""
        self.items -= 1
        self.version += 1

    def get(self, item_id: str) -> CatalogueItem | None:
        """What is known of an item, None where the catalogue has no such item."""
        row = self._row_of.get(item_id)
        if row is None or not self._texts[row]:
            return None
        name, brand, image_url = _decode(self._texts[row])
        available, category, price, first_seen_ms = self._rows[row].item()
        return CatalogueItem(
            item_id=item_id,
            name=name,
            category=None if category == NONE else self._categories[category],
            brand=brand,
            price=None if math.isnan(price) else price,
            image_url=image_url,
            available=available,
            first_seen_ms=None if first_seen_ms == NONE else first_seen_ms,
        )

    def names(self, rows: Sequence[int]) -> list[str | None]:
        """The names of the items with these rows. NONE, or an item without a name, gives None."""
        texts = self._texts
        return [_decode(texts[row])[0] if row != NONE and texts[row] else None for row in rows]

    def category_codes(self, categories: Sequence[str]) -> list[int]:
        """What the column `category` holds for these categories. A category that no item had is left out."""
        return [self._category_code[one] for one in categories if one in self._category_code]

    def _new_row(self, item_id: str) -> int:
        row = len(self.item_ids)
        if row == len(self._rows):
            grown = np.zeros(2 * row, ROW)
            grown[:row] = self._rows
            self._rows = grown
        self.item_ids.append(item_id)
        self._texts.append(b"")
        self._row_of[item_id] = row
        return row

    def _set_row(self, row: int, item: CatalogueItem) -> None:
        """Write the columns of an item. A category without a code leaves the former category."""
        former = int(self._rows[row]["category"])
        self._rows[row] = (
            item.available,
            NONE if item.category is None else self._category_code.get(item.category, former),
            math.nan if item.price is None else item.price,
            NONE if item.first_seen_ms is None else item.first_seen_ms,
        )


_decode = msgspec.msgpack.Decoder(_Texts).decode
