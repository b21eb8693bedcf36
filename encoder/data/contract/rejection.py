"""Why a value is not an event, in words that name the field and show its value. Called for bad input only."""

import codecs
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from encoder.data.contract.incoming_event import REQUIRED_FIELDS, IncomingEvent
from encoder.data.contract.quoting import quote, quote_bytes, quote_json

_PATH = re.compile(r"^(?P<what>.*) - at `\$\.(?P<field>\w+)`$", re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)$")


class Rejection(NamedTuple):
    """A value that is not an event."""

    reason: str  # names the field and shows its value
    field: str  # "value" where the reason concerns no single field


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8. A text with half a surrogate pair cannot.

    The judge decodes a byte that is not UTF-8 to such a half (PEP 383).
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def why_fields_are_rejected(fields: Mapping[str, Any]) -> Rejection | None:
    """Why the required fields are not those of an event, or None where they are."""
    for name in REQUIRED_FIELDS:
        if name not in fields:
            return Rejection(f"{name} is missing in {quote_json(fields)}", name)
        if isinstance(text := fields[name], str) and not is_unicode(text):
            return Rejection(f"{name} is {quote_json(text)}: half a surrogate pair, or a byte outside UTF-8", name)
    try:
        msgspec.convert({name: fields[name] for name in REQUIRED_FIELDS}, IncomingEvent)
    except msgspec.ValidationError as error:
        at = _PATH.match(str(error))
        assert at is not None, "every required field is a plain value"
        name = at["field"]
        return Rejection(f"{name} is {quote_json(fields[name])}: {at['what']}", name)
    return None


def why_not_an_object(value: bytes) -> Rejection:
    """Why a value is not a JSON object that can be read."""
    try:
        msgspec.json.decode(value, type=dict[str, Any])
    except RecursionError:
        return _nests_too_deep(value)
    except UnicodeDecodeError as error:
        near = value[max(0, error.start - 20) : error.start + 20]
        return Rejection(f"value is not UTF-8: {error.reason} at byte {error.start}, near {quote(near)}", "value")
    except msgspec.ValidationError as error:
        return Rejection(f"value is {quote_bytes(value)}: {error}", "value")
    except ValueError as error:
        return Rejection(_not_json(value, str(error)), "value")
    return _nests_too_deep(value)  # The stack had more room here than at the judge.


def _nests_too_deep(value: bytes) -> Rejection:
    return Rejection(f"value nests too deep to be read: {quote_bytes(value)}", "value")


def _not_json(value: bytes, message: str) -> str:
    if not value.strip():
        return f"value is empty ({len(value)} bytes): an erasure has a null value, an event a JSON object"
    if value.startswith(codecs.BOM_UTF8):
        return f"value starts with a byte order mark: {quote(value)}"
    at = _BYTE.search(message)
    where = max(0, int(at[1]) - 20) if at else max(0, len(value) - 40)
    return f"value is not JSON: {message}, near {quote(value[where : where + 40])}"
