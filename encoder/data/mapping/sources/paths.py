"""Paths into decoded values, such as `properties.product_id`, `items[0].id` or `event_params[key=page].value`.

- A dot leads into an object, `[0]` into a list, and `[-1]` to the last element of a list.
- `[NAME=TEXT]` finds the first object of a list whose field NAME is TEXT.
- A name in double quotes may contain dots and brackets: `properties."product.id"`.
- A path that goes into a text, or into the bytes of a key, reads the text as JSON.
"""

import re
from typing import Any, NamedTuple

import msgspec

_STEP = re.compile(
    r'(?:(?:^|\.)(?:"(?P<quoted>[^"]+)"|(?P<name>[^."\[\]]+)))'
    r'|\[(?P<index>-?\d+)\]|\[(?P<field>[^=\[\]"]+)=(?P<text>[^\]]*)\]'
)
_decode = msgspec.json.Decoder().decode


class Element(NamedTuple):
    """The step to the first object of a list whose field has this text."""

    field: str
    text: str


Step = str | int | Element


def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ValueError that says where the text stops being a path."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or not found[0]:
            raise ValueError(f"{text!r} is no path from {text[at:]!r} on")
        if found["index"] is not None:
            steps.append(int(found["index"]))
        elif found["field"] is not None:
            steps.append(Element(found["field"], found["text"]))
        else:
            steps.append(found["quoted"] or found["name"])
        at = found.end()
    return tuple(steps)


def follow(value: Any, steps: tuple[Step, ...]) -> Any:
    """The value at the end of the steps, or None where the value has no such place."""
    for step in steps:
        if isinstance(value, str | bytes):
            value = _read_json(value)
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        elif not isinstance(value, list | tuple):
            return None
        elif isinstance(step, int):
            value = value[step] if -len(value) <= step < len(value) else None
        else:
            value = _element(value, step)
        if value is None:
            return None
    return value


def _element(values: list[Any] | tuple[Any, ...], wanted: Element) -> Any:
    for value in values:
        if isinstance(value, dict) and value.get(wanted.field) == wanted.text:
            return value
    return None


def _read_json(text: str | bytes) -> Any:
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        return None
