"""A file of items, checked as a whole: nothing is sent of a file with a broken row."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from encoder.data.contract.quoting import quote
from encoder.data.contract.rejection import Rejection
from encoder.errors import InputError
from streams.commands.items.rows import Row, read_rows
from streams.commands.items.values import fields_of
from streams.contracts.catalogue_items import FIELDS, CatalogueItem, item_of_fields, read_value

_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ItemFile(NamedTuple):
    """The items of a file.

    values: the value of the record of each item, by item.
    ignored: the names of columns or fields that are no fields of an item.
    """

    values: dict[str, bytes]
    ignored: list[str]


def load_items(path: Path) -> ItemFile:
    """Read and check a whole file.

    Raises InputError that names the line and the value where a row is no item, and for an item that stands twice.
    """
    values: dict[str, bytes] = {}
    place_of: dict[str, str] = {}
    ignored: dict[str, None] = {}
    for row in read_rows(path):
        item, names = _item(row)
        if isinstance(item, Rejection):
            raise InputError(f"{row.place} of {path}: {item.reason}; nothing was sent")
        if item.item_id in values:
            before = place_of[item.item_id]
            raise InputError(
                f"{before} and {row.place} of {path} have the item {quote(item.item_id)}: keep one of them"
            )
        values[item.item_id] = msgspec.json.encode(item)
        place_of[item.item_id] = row.place
        ignored.update(dict.fromkeys(names - _FIELDS))
    if not values:
        raise InputError(f"{path} has no items: check the file")
    return ItemFile(values, sorted(ignored))


def _item(row: Row) -> tuple[CatalogueItem | Rejection, set[str]]:
    """The item of a row, and the names of the columns or fields of the row."""
    content = row.content
    if isinstance(content, bytes):
        item = read_value(content)
        return item, set() if isinstance(item, Rejection) else set(_decode_names(content))
    try:
        return item_of_fields(fields_of(content)), set(content)
    except ValueError as error:
        return Rejection(str(error), "value"), set()


_FIELDS = frozenset(FIELDS)
