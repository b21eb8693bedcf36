"""Reads the values of a mapping file as sources. `encoder.data.mapping.sources.source` lists the forms of a source."""

import re
from collections.abc import Callable
from typing import Any

from encoder.data.mapping.errors import closest
from encoder.data.mapping.sources.paths import parse_path
from encoder.data.mapping.sources.source import (
    Source,
    constant_source,
    first_source,
    hash_source,
    header_source,
    join_source,
    path_source,
    pattern_source,
    timestamp_source,
)

PLACES = ("value", "key", "header", "timestamp", "line", "parent")
_PLACE = re.compile(r"(\w+):(.*)", re.DOTALL)
_DEFAULT_SEPARATOR = ":"
_RECORD = "record"
# Kind of a table -> the further keys of the table
_KINDS: dict[str, frozenset[str]] = {
    "const": frozenset(),
    "from": frozenset(["pattern"]),
    "join": frozenset(["separator"]),
    "hash": frozenset(),
}


class SourceError(ValueError):
    """A value of a mapping file is no source."""


def read_source(spec: Any) -> Source:
    """Read a source. Raises SourceError, whose message says what is wrong and what to write."""
    if isinstance(spec, str):
        return _read_text(spec)
    if isinstance(spec, list):
        if not spec:
            raise SourceError("an empty list has no source: name at least one path")
        sources = [read_source(part) for part in spec]
        return sources[0] if len(sources) == 1 else first_source(sources)
    if isinstance(spec, dict):
        return _read_table(spec)
    raise SourceError(f'{spec!r} is no source: write a path in quotes, or {{ const = "{spec}" }} for a fixed value')


def _read_text(text: str) -> Source:
    found = _PLACE.fullmatch(text)
    place, path = ("value", text) if found is None else found.groups()
    if place not in PLACES:
        near = closest(place, PLACES)
        if near.startswith("did you mean"):
            raise SourceError(f"{text!r} begins with an unknown place {place!r}: {near} Quote a name with a colon")
        place, path, found = "value", text, None
    if place == "header":
        if not path:
            raise SourceError("`header:` names no header: write header:NAME")
        return header_source(path, text)
    if place == "timestamp":
        if path:
            raise SourceError(f"{text!r} has a path, and a timestamp has no parts: write `timestamp:`")
        return timestamp_source(text)
    if not path and found is None:
        raise SourceError("an empty text is no path: name a field")
    try:
        return path_source(place, parse_path(path), text)
    except ValueError as error:
        raise SourceError(
            f"{error}: write names with dots between them, [0] for an element of a list, [NAME=TEXT] for the element "
            'whose field NAME is TEXT, and double quotes around a name with a dot, such as a."b.c"'
        ) from None


def _read_table(table: dict[str, Any]) -> Source:
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        raise SourceError(f"a table needs exactly one of the keys {', '.join(_KINDS)}, and has {', '.join(table)}")
    kind = kinds[0]
    for key in table.keys() - {kind} - _KINDS[kind]:
        raise SourceError(f'unknown key "{key}" beside "{kind}": {closest(key, [kind, *_KINDS[kind]])}')
    return _READERS[kind](table)


def _read_const(table: dict[str, Any]) -> Source:
    value = table["const"]
    if isinstance(value, dict | list):
        raise SourceError(f"const is {value!r}: a constant is a text, a number or a time")
    return constant_source(value)


def _read_from(table: dict[str, Any]) -> Source:
    source = read_source(table["from"])
    pattern = table.get("pattern")
    if pattern is None:
        return source
    try:
        expression = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise SourceError(f"pattern {pattern!r} is no regular expression: {error}") from None
    if expression.groups != 1:
        raise SourceError(f"pattern {pattern!r} has {expression.groups} groups: write one pair of parentheses")
    return pattern_source(source, expression)


def _read_join(table: dict[str, Any]) -> Source:
    parts, separator = table["join"], table.get("separator", _DEFAULT_SEPARATOR)
    if not isinstance(parts, list) or len(parts) < 2 or not isinstance(separator, str):
        raise SourceError('a join is a list of at least two sources: { join = ["a", "b"], separator = ":" }')
    return join_source([read_source(part) for part in parts], separator)


def _read_hash(table: dict[str, Any]) -> Source:
    parts = table["hash"]
    if parts == _RECORD:
        return hash_source([path_source("key", (), "key:"), path_source("value", (), "value:")], "a hash of the record")
    if not isinstance(parts, list) or not parts:
        raise SourceError('a hash is of the record or of a list: { hash = "record" } or { hash = ["a", "b"] }')
    sources = [read_source(part) for part in parts]
    return hash_source(sources, f"a hash of {', '.join(source.shown for source in sources)}")


_READERS: dict[str, Callable[[dict[str, Any]], Source]] = {
    "const": _read_const,
    "from": _read_from,
    "join": _read_join,
    "hash": _read_hash,
}
