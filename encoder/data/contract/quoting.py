"""Values as short texts in ASCII, for reasons, terminals and logs."""

import json

SHOWN = 80  # characters of a bad value in a reason
NOT_SHOWN = "…"  # in the place of a value that may name a user
_TAB = 9
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {_TAB}, "\N{REPLACEMENT CHARACTER}")


def without_controls(text: str) -> str:
    """The text without the characters that a terminal obeys, such as the escape character. Tabs stay."""
    return text.translate(_CONTROLS)


def quote(value: object) -> str:
    """A value as Python shows it, in ASCII, cut to SHOWN characters."""
    if isinstance(value, str | bytes) and len(value) > SHOWN:
        return ascii(value[:SHOWN])[: SHOWN - 1] + "…"  # The value is cut first, so that a long value costs little.
    return _cut(ascii(value))


def quote_bytes(value: bytes) -> str:
    """Bytes as text where the bytes are UTF-8, otherwise as Python shows bytes."""
    head = value[: 4 * SHOWN]
    try:
        return quote(head.decode())
    except UnicodeDecodeError as error:
        cut_in_a_character = len(value) > len(head) and error.start > len(head) - 4
        return quote(head[: error.start].decode()) if cut_in_a_character else quote(head)


def quote_json(value: object) -> str:
    """A value as JSON on one line of ASCII, cut to SHOWN characters."""
    if isinstance(value, str):
        value = value[: SHOWN + 1]
    try:
        return _cut(json.dumps(value, separators=(",", ":"), default=str))
    except RecursionError:
        return "nested too deep to be shown"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
