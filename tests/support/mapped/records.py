"""Records of a foreign topic with orders of several lines, and their mapping."""

from collections.abc import Sequence
from typing import Any

import msgspec

from encoder.data.mapping import parse_mapping
from streams.engine.payload.mapped_decoder import MappedDecoder
from streams.engine.payload.reader import JsonReader
from tests.support.processing import Record

MAPPING = """
each = "lines"
user = "who"
item = ["line:sku", "sku"]
action = "what"
time = "at"
event_id = "id"
price = ["line:price", "price"]

[actions]
looked = "view"
ordered = "purchase"
"""
NOW_MS = 10**12


def shop_decoder(text: str = MAPPING) -> MappedDecoder:
    mapping = parse_mapping(text, "the test", "shop")
    return MappedDecoder(mapping, JsonReader(mapping.value_type), JsonReader())


def shop_record(offset: int, **fields: Any) -> Record:
    """A record whose key is not the user."""
    value = {"what": "looked", "at": NOW_MS, "id": f"e{offset}"} | fields
    return Record(b"a key of its own", msgspec.json.encode(value), offset, NOW_MS)


def order(offset: int, user: str, skus: Sequence[str], **fields: Any) -> Record:
    """A record with one line for each of these items."""
    return shop_record(offset, who=user, what="ordered", lines=[{"sku": sku} for sku in skus], **fields)
