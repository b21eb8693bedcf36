"""The judge: which values are events, and which optional fields an event loses. Raises nothing for bad input.

A value with a broken required field is rejected. A broken optional field or attribute is dropped, and the event is
kept without it. Null and NaN in an optional field mean that the field is absent, and are not counted as dropped.
"""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from encoder.data.contract.incoming_event import (
    MAX_INT64,
    MAX_TEXT,
    MAX_VALUE_BYTES,
    MIN_INT64,
    REQUIRED_FIELDS,
    IncomingEvent,
)
from encoder.data.contract.prices import price_from_text
from encoder.data.contract.quoting import quote_json
from encoder.data.contract.rejection import Rejection, is_unicode, why_fields_are_rejected, why_not_an_object

ATTRIBUTES = "attributes"
# The JSON of an event is longer than that of the fields by at most so much: names of absent fields, digits of a price.
_GROWTH_BYTES = 1024
_LONGEST_INT = 4000  # digits; Python refuses to convert a text with more than 4,300 digits to an int


class DropReason(StrEnum):
    """Why an optional field is dropped. The values are labels of a metric."""

    WRONG_TYPE = "wrong_type"
    NOT_UTF8 = "not_utf8"
    TOO_LONG = "too_long"
    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"
    NEGATIVE = "negative"
    BEYOND_64_BITS = "beyond_64_bits"
    BAD_NAME = "bad_name"


DROPPABLE_FIELDS = ("session_id", "category", "price", ATTRIBUTES)


class DroppedField(NamedTuple):
    """An optional field that an event lost."""

    field: str  # a field of DROPPABLE_FIELDS
    reason: DropReason
    value: str  # JSON, cut to a few characters
    event_id: str
    attribute: str = ""  # the name of the attribute, when the attribute alone is dropped

    @property
    def path(self) -> str:
        """The field, or `attributes.NAME`."""
        return f"{self.field}.{self.attribute}" if self.attribute else self.field


class Verdict(NamedTuple):
    """What a value is, and what the event of the value has lost."""

    outcome: IncomingEvent | Rejection
    dropped: Sequence[DroppedField] = ()


# Decodes the JSON of an event that breaks no bound. Raises ValueError or RecursionError for any other value.
decode_well_formed = msgspec.json.Decoder(IncomingEvent).decode
_encode = msgspec.json.encode


def judge_value(value: bytes) -> Verdict:
    """Judge the JSON of a record."""
    if len(value) > MAX_VALUE_BYTES:
        return Verdict(too_large(len(value)))
    try:
        return Verdict(decode_well_formed(value))
    except (ValueError, RecursionError):
        return judge_malformed(value)


def judge_malformed(value: bytes) -> Verdict:
    """Judge JSON of at most MAX_VALUE_BYTES that `decode_well_formed` refuses."""
    fields = read_object(value)
    return Verdict(why_not_an_object(value)) if fields is None else _judge_field_by_field(fields)


def judge_fields(fields: Mapping[str, Any]) -> Verdict:
    """Judge the fields of an event that stood in a row of a table: texts, numbers, and `attributes` as a dictionary.

    The outcome is that of the same fields in the JSON of a record, except that the JSON cannot hold infinity.
    """
    try:
        value = _encode(fields)
    except UnicodeEncodeError:
        value = b""
    verdict = _judge_field_by_field(fields) if not value or _has_infinity(fields) else judge_value(value)
    if 0 < len(value) < MAX_VALUE_BYTES - _GROWTH_BYTES or isinstance(verdict.outcome, Rejection):
        return verdict
    size = len(_encode(verdict.outcome))
    return verdict if size <= MAX_VALUE_BYTES else Verdict(too_large(size))


def too_large(size: int) -> Rejection:
    """The rejection of a value of `size` bytes."""
    return Rejection(f"value has {size} bytes, the limit is {MAX_VALUE_BYTES}", "value")


def read_object(value: bytes) -> dict[str, Any] | None:
    """The fields of a JSON object, also with NaN, Infinity, halves of surrogate pairs and bytes outside UTF-8.

    Returns None where the value is not such an object.
    """
    try:
        fields = json.loads(value.decode("utf-8", "surrogateescape"), parse_int=_whole_number)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _whole_number(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _LONGEST_INT else Decimal(digits)


def _has_infinity(fields: Mapping[str, Any]) -> bool:
    attributes = fields.get(ATTRIBUTES)
    if isinstance(attributes, Mapping):
        for value in attributes.values():  # a loop costs less than a generator here
            if isinstance(value, float) and math.isinf(value):
                return True
    if isinstance(attributes, float) and math.isinf(attributes):
        return True
    price = fields.get("price")
    return isinstance(price, float) and math.isinf(price)


def _judge_field_by_field(fields: Mapping[str, Any]) -> Verdict:
    rejection = why_fields_are_rejected(fields)
    if rejection is not None:
        return Verdict(rejection)
    kept = {name: fields[name] for name in REQUIRED_FIELDS}
    dropped: list[DroppedField] = []
    event_id = fields["event_id"]
    for name, read in (("session_id", _text), ("category", _text), ("price", _price)):
        value = fields.get(name)
        read_value = None if _is_absent(value) else read(value)
        if isinstance(read_value, DropReason):
            dropped.append(DroppedField(name, read_value, quote_json(value), event_id))
        elif not _is_absent(read_value):
            kept[name] = read_value
    attributes = fields.get(ATTRIBUTES)
    if isinstance(attributes, Mapping):
        kept[ATTRIBUTES] = _attributes(attributes, dropped, event_id)
    elif not _is_absent(attributes):
        dropped.append(DroppedField(ATTRIBUTES, DropReason.WRONG_TYPE, quote_json(attributes), event_id))
    return Verdict(msgspec.convert(kept, IncomingEvent), dropped)


def _attributes(
    values: Mapping[str, Any], dropped: list[DroppedField], event_id: str
) -> dict[str, str | int | float] | None:
    """The attributes that can be kept. Adds the others to `dropped`."""
    kept: dict[str, str | int | float] = {}
    for name, value in values.items():
        if _is_absent(value):
            continue
        if not name or len(name) > MAX_TEXT or not is_unicode(name):
            dropped.append(DroppedField(ATTRIBUTES, DropReason.BAD_NAME, quote_json({name: value}), event_id))
            continue
        read_value = _attribute(value)
        if isinstance(read_value, DropReason):
            dropped.append(DroppedField(ATTRIBUTES, read_value, quote_json(value), event_id, name))
        else:
            kept[name] = read_value
    return kept or None


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str | DropReason:
    if not isinstance(value, str):
        return DropReason.WRONG_TYPE
    if not is_unicode(value):
        return DropReason.NOT_UTF8
    return value if len(value) <= MAX_TEXT else DropReason.TOO_LONG


def _price(value: Any) -> float | DropReason:
    if isinstance(value, str):
        value = price_from_text(value)
        if value is None:
            return DropReason.NOT_A_NUMBER
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return DropReason.WRONG_TYPE
    price = _finite_float(value)
    if isinstance(price, float) and price < 0:
        return DropReason.NEGATIVE
    return price


def _attribute(value: Any) -> str | int | float | DropReason:
    if isinstance(value, str):
        return value if is_unicode(value) else DropReason.NOT_UTF8
    if isinstance(value, float):
        return _finite_float(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return DropReason.WRONG_TYPE
    return int(value) if MIN_INT64 <= value <= MAX_INT64 else DropReason.BEYOND_64_BITS


def _finite_float(value: int | float | Decimal) -> float | DropReason:
    """The value as a float, which may be NaN."""
    try:
        number = float(value)
    except OverflowError:
        return DropReason.NOT_FINITE
    return DropReason.NOT_FINITE if math.isinf(number) else number
