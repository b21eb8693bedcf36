"""Writes the text of a mapping file. The standard library reads TOML and does not write TOML."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_PATH_SIGNS = frozenset('."[]')


def path_text(names: Sequence[str], place: str = "") -> str:
    """The source of names below a place, as a mapping file writes the source. place: "line" or "" for the value."""
    path = plain_path(names)
    if not place and ":" in path:
        place = "value"  # so that a name such as `key:id` is not read as a place
    return f"{place}:{path}" if place else path


def plain_path(names: Sequence[str]) -> str:
    """The path of names without a place, as the key `each` takes the path."""
    return ".".join(f'"{name}"' if _PATH_SIGNS & set(name) else name for name in names)


def toml_value(value: Any) -> str:
    """A text, a truth value, a list or a table as TOML on one line."""
    if isinstance(value, str):
        # A text of TOML has the escapes of a text of JSON, and one control character more.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_key(key)} = {toml_value(one)}" for key, one in value.items()) + " }"
    return "[" + ", ".join(map(toml_value, value)) + "]"


def toml_key(key: str) -> str:
    """A key of TOML, in quotes where the key needs them."""
    return key if key and set(key) <= _BARE else toml_value(key)


def comment(text: str) -> str:
    """A text as a comment on one line."""
    return "# " + "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
