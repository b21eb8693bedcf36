"""The catalogue item: what a shop knows of an item. The reading of records and of fields is pure."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from encoder.data.contract.incoming_event import OptionalText, Text
from encoder.data.contract.judge import read_object, too_large
from encoder.data.contract.quoting import quote_bytes, quote_json
from encoder.data.contract.rejection import Rejection, is_unicode, why_not_an_object
from streams.contracts.fields import MAX_VALUE_BYTES, TimeMs

MAX_ADDRESS = 2_048  # characters of the address of an image


class CatalogueItem(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a shop knows of one item; key = item_id, UTF-8. A null value: the item was removed.

    The topic is compacted, so the last record of an item counts. Unknown fields are ignored. A record that breaks a
    bound is ignored as a whole, and the item's record before that stays.
    """

    item_id: Annotated[Text, Meta(description="equal to the record's key")]
    name: OptionalText = None
    category: OptionalText = None
    brand: OptionalText = None
    price: Annotated[float, Meta(ge=0)] | None = None
    image_url: Annotated[str, Meta(max_length=MAX_ADDRESS, description="address of a picture")] | None = None
    available: Annotated[bool, Meta(description="an item that is not available is never recommended")] = True
    first_seen_ms: TimeMs | None = None


FIELDS = CatalogueItem.__struct_fields__
_decode = msgspec.json.Decoder(CatalogueItem).decode


def read_item(key: bytes | None, value: bytes) -> CatalogueItem | Rejection:
    """The item of a record of the topic, or why the record is broken."""
    item = read_value(value)
    if isinstance(item, CatalogueItem) and key != item.item_id.encode():
        shown = "null" if key is None else quote_bytes(key)
        return Rejection(f"the key is {shown} and item_id is {quote_json(item.item_id)}: both must be equal", "key")
    return item


def read_value(value: bytes) -> CatalogueItem | Rejection:
    """The item of a JSON text, or why the text is no item."""
    if len(value) > MAX_VALUE_BYTES:
        return too_large(len(value))
    try:
        return _decode(value)
    except (ValueError, RecursionError):
        if not value.strip():
            return Rejection(f"value is empty ({len(value)} bytes): a removal has a null value", "value")
        fields = read_object(value)
        return why_not_an_object(value) if fields is None else item_of_fields(fields)


def item_of_fields(fields: Mapping[str, Any]) -> CatalogueItem | Rejection:
    """The item with these fields, or why one of the fields is broken. A field that is null counts as absent."""
    given = {name: fields[name] for name in FIELDS if fields.get(name) is not None}
    if "item_id" not in given:
        return Rejection(f"item_id is missing in {quote_json(dict(fields))}", "item_id")
    for name, value in given.items():
        if isinstance(value, str) and not is_unicode(value):
            return Rejection(f"{name} is {quote_json(value)}: half a surrogate pair, or a byte outside UTF-8", name)
        if isinstance(value, float) and not math.isfinite(value):
            return Rejection(f"{name} is {value}: give a finite number", name)
        try:
            msgspec.convert({name: value}, _FIELD_TYPES[name])
        except msgspec.ValidationError as error:
            what = str(error).partition(" - at ")[0]
            return Rejection(f"{name} is {quote_json(value)}: {what}", name)
    return msgspec.convert(given, CatalogueItem)


# One type for each field, so that a message names the field that is broken.
_FIELD_TYPES = {
    field.name: msgspec.defstruct("Field", [(field.name, field.type)])
    for field in msgspec.structs.fields(CatalogueItem)
}
