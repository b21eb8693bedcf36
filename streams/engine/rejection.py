"""Why a value is not an event, in words that name the field and show its value. Pure, and called for bad input only."""

import json
import re

import msgspec

from streams.contracts.behavior_events import IncomingEvent

SHOWN = 80  # characters of a bad value in a reason

_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_PATH = re.compile(r"^(?P<what>.*?) - at (?P<key>`key` in )?`\$\.(?P<field>\w+)(?P<rest>[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<field>\w+)`")
_BYTE = re.compile(r"\(byte (\d+)\)$")


def quote(value: object) -> str:
    """A value as Python shows it, in ASCII for terminals and logs, cut to SHOWN characters."""
    if isinstance(value, str | bytes) and len(value) > SHOWN:
        return ascii(value[:SHOWN])[: SHOWN - 1] + "…"  # The value is cut first, so that a long value costs little.
    shown = ascii(value)
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"


def quote_bytes(value: bytes) -> str:
    """Bytes as text where the bytes are UTF-8, otherwise as Python shows bytes."""
    head = value[: 4 * SHOWN]
    try:
        return quote(head.decode())
    except UnicodeDecodeError as error:
        cut_in_a_character = len(value) > len(head) and error.start > len(head) - 4
        return quote(head[: error.start].decode()) if cut_in_a_character else quote(head)


def why_not_an_event(value: bytes, error: Exception) -> tuple[str, str]:
    """The reason and the field of a value that the decoder refused with `error`.

    The field is "value" where the error concerns no single field.
    """
    if isinstance(error, RecursionError):
        return f"value nests too deep to be read: {quote_bytes(value)}", "value"
    if isinstance(error, UnicodeDecodeError):
        return _not_utf8(value), "value"
    if isinstance(error, msgspec.ValidationError):
        return _breaks_contract(value, str(error))
    return _unwritable_field(value) or (_not_json(value, str(error)), "value")


def _not_utf8(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        near = value[max(0, error.start - 20) : error.start + 20]
        return f"value is not UTF-8: {error.reason} at byte {error.start}, near {quote(near)}"
    return f"value is not UTF-8: {quote_bytes(value)}"


def _unwritable_field(value: bytes) -> tuple[str, str] | None:
    """The reason and the field where the only fault is a value outside JSON: NaN, Infinity or half a surrogate pair."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    for name, content in fields.items():
        known = name in IncomingEvent.__struct_fields__
        shown, field = (name, name) if known else (quote(name), "value")
        try:
            json.dumps({name: content}, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            return f"{shown} is {quote(content)}: half a surrogate pair is not text", field
        except ValueError:
            return f"{shown} is {quote(content)}: not a number of JSON", field
    return None


def _not_json(value: bytes, message: str) -> str:
    if not value.strip():
        return f"value is empty ({len(value)} bytes): an erasure has a null value, an event a JSON object"
    if value.startswith(b"\xef\xbb\xbf"):
        return f"value starts with a byte order mark: {quote(value)}"
    at = _BYTE.search(message)
    where = max(0, int(at[1]) - 20) if at else max(0, len(value) - 40)
    return f"value is not JSON: {message}, near {quote(value[where : where + 40])}"


def _breaks_contract(value: bytes, message: str) -> tuple[str, str]:
    missing = _MISSING.search(message)
    if missing:
        return f"{missing['field']} is missing in {quote_bytes(value)}", missing["field"]
    at = _PATH.match(message)
    if at is None:
        return f"value is {quote_bytes(value)}: {message}", "value"
    field, where = at["field"], ""
    if at["key"]:
        where = " as a name"
    elif at["rest"]:
        where = " as a value"
    return f"{field} is {_json_of(value, field)}: {at['what']}{where}", field


def _json_of(value: bytes, field: str) -> str:
    """The field's JSON on one line of ASCII, or "not readable" where the object breaks off."""
    try:
        text = bytes(_raw_fields(value)[field]).decode()
    except (ValueError, RecursionError, KeyError):
        return "not readable"
    line = _ascii(" ".join(text[: 4 * SHOWN].split()))
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
