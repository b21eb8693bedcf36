"""Where a field of an event stands: the values of the keys of a mapping file, as functions that read a record.

A source is one of these values of TOML:

- a text with a place and a path: `properties.product_id`, `line:sku`, `parent:time`, `key:id`, `header:ce_id`,
  `timestamp:`. A path without a place is a path in the value of the record. A place without a path is the whole.
- a list of sources: the first that is there, apart from null and empty texts
- `{ const = VALUE }`
- `{ from = SOURCE, pattern = "REGULAR EXPRESSION" }`: the first group of the expression, in the whole text
- `{ join = [SOURCE, ...], separator = ":" }`: the texts, joined; absent where one of the texts is absent
- `{ hash = [SOURCE, ...] }` or `{ hash = "record" }`: a hash of the values, or of the key and the value of the record
"""

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from encoder.data.mapping.errors import closest
from encoder.data.mapping.paths import Read, parse_path, reader_at
from encoder.data.mapping.times import Milliseconds

# What a source reads: a tuple of these places. Line and parent are None where the record has no lines.
VALUE, KEY, HEADERS, TIMESTAMP, LINE, PARENT = range(6)
Scope = tuple[Any, bytes | None, Sequence[tuple[str, bytes]], int, Any, Any]

PLACES = {"value": VALUE, "key": KEY, "header": HEADERS, "timestamp": TIMESTAMP, "line": LINE, "parent": PARENT}
_PLACE = re.compile(r"(\w+):(.*)", re.DOTALL)
_HASH_BYTES = 12
_DEFAULT_SEPARATOR = ":"
_KINDS = {"const": set(), "from": {"pattern"}, "join": {"separator"}, "hash": set()}  # kind -> further keys


class Source(NamedTuple):
    """A compiled source."""

    read: Read  # Scope -> value, or None where the record has no such value
    shown: str  # for messages
    places: frozenset[int]  # the places that the source reads


class SourceError(ValueError):
    """A value of a mapping file is no source."""


def compile_source(spec: Any) -> Source:
    """Compile a source. Raises SourceError, whose message says what is wrong and what to write."""
    if isinstance(spec, str):
        return _compile_text(spec)
    if isinstance(spec, list):
        if not spec:
            raise SourceError("an empty list has no source: name at least one path")
        sources = [compile_source(part) for part in spec]
        return sources[0] if len(sources) == 1 else _first_of(sources)
    if isinstance(spec, dict):
        return _compile_table(spec)
    raise SourceError(f'{spec!r} is no source: write a path in quotes, or {{ const = "{spec}" }} for a fixed value')


def text_of(value: Any) -> Any:
    """An id as text: whole numbers, UUIDs and bytes become texts. The judge rejects a value of another type."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value) if type(value).__name__ == "UUID" else value


def is_absent(value: Any) -> bool:
    """Whether a value counts as missing in a list of sources: null, NaN, or an empty text."""
    return value is None or value == "" or value != value


def _compile_text(text: str) -> Source:
    found = _PLACE.fullmatch(text)
    place, path = ("value", text) if found is None else found.groups()
    if place not in PLACES:
        near = closest(place, PLACES)
        if near.startswith("did you mean"):
            raise SourceError(f"{text!r} begins with an unknown place {place!r}: {near} Quote a name with a colon")
        place, path = "value", text
    if place == "header":
        return Source(_header_reader(path), text, frozenset([HEADERS]))
    if place == "timestamp":
        if path:
            raise SourceError(f"{text!r} has a path, and a timestamp has no parts: write `timestamp:`")
        return Source(_read_timestamp, text, frozenset([TIMESTAMP]))
    try:
        steps = parse_path(path)
    except ValueError as error:
        raise SourceError(
            f"{error}: write names with dots between them, [0] for an element of a list, [NAME=TEXT] for the element "
            'whose field NAME is TEXT, and double quotes around a name with a dot, such as a."b.c"'
        ) from None
    if not steps and not found:
        raise SourceError("an empty text is no path: name a field")
    return Source(reader_at(PLACES[place], steps), text, frozenset([PLACES[place]]))


def _read_timestamp(scope: Scope) -> Milliseconds | None:
    timestamp_ms = scope[TIMESTAMP]
    return Milliseconds(timestamp_ms) if timestamp_ms >= 0 else None


def _header_reader(name: str) -> Read:
    """The last header with this name in any case, as text, because Kafka keeps headers of one name in order."""
    if not name:
        raise SourceError("`header:` names no header: write header:NAME")
    wanted = name.lower()

    def read(scope: Scope) -> str | None:
        for found, value in reversed(scope[HEADERS]):
            if found == name or found.lower() == wanted:
                return None if value is None else value.decode("utf-8", "surrogateescape")
        return None

    return read


def _first_of(sources: list[Source]) -> Source:
    readers = [source.read for source in sources]

    def read(scope: Scope) -> Any:
        for read_one in readers:
            value = read_one(scope)
            if value is not None and not is_absent(value):
                return value
        return None

    return _composed(read, sources, " or ".join(source.shown for source in sources))


def _composed(read: Read, sources: list[Source], shown: str) -> Source:
    return Source(read, shown, frozenset().union(*(source.places for source in sources)))


def _compile_table(table: dict[str, Any]) -> Source:
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        raise SourceError(f"a table needs exactly one of the keys {', '.join(_KINDS)}, and has {', '.join(table)}")
    kind = kinds[0]
    for key in table.keys() - {kind} - _KINDS[kind]:
        raise SourceError(f'unknown key "{key}" beside "{kind}": {closest(key, [kind, *_KINDS[kind]])}')
    return _COMPILERS[kind](table)


def _compile_const(table: dict[str, Any]) -> Source:
    value = table["const"]
    if isinstance(value, dict | list):
        raise SourceError(f"const is {value!r}: a constant is a text, a number or a time")
    return Source(lambda scope: value, repr(value), frozenset())


def _compile_from(table: dict[str, Any]) -> Source:
    source = compile_source(table["from"])
    pattern = table.get("pattern")
    if pattern is None:
        return source
    try:
        expression = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise SourceError(f"pattern {pattern!r} is no regular expression: {error}") from None
    if expression.groups != 1:
        raise SourceError(f"pattern {pattern!r} has {expression.groups} groups: write one pair of parentheses")

    def read(scope: Scope) -> str | None:
        text = text_of(source.read(scope))
        found = expression.fullmatch(text) if isinstance(text, str) else None
        return None if found is None else found[1]

    return _composed(read, [source], f"{source.shown} by {pattern}")


def _compile_join(table: dict[str, Any]) -> Source:
    parts, separator = table["join"], table.get("separator", _DEFAULT_SEPARATOR)
    if not isinstance(parts, list) or len(parts) < 2 or not isinstance(separator, str):
        raise SourceError('a join is a list of at least two sources: { join = ["a", "b"], separator = ":" }')
    sources = [compile_source(part) for part in parts]

    def read(scope: Scope) -> str | None:
        texts = [text_of(source.read(scope)) for source in sources]
        return separator.join(texts) if all(isinstance(text, str) and text for text in texts) else None

    return _composed(read, sources, " with ".join(source.shown for source in sources))


def _compile_hash(table: dict[str, Any]) -> Source:
    parts = table["hash"]
    if parts == "record":
        return Source(_hash_record, "a hash of the record", frozenset([VALUE, KEY]))
    if not isinstance(parts, list) or not parts:
        raise SourceError('a hash is of the record or of a list: { hash = "record" } or { hash = ["a", "b"] }')
    sources = [compile_source(part) for part in parts]
    return _composed(
        lambda scope: _hash([source.read(scope) for source in sources]),
        sources,
        f"a hash of {', '.join(source.shown for source in sources)}",
    )


def _hash_record(scope: Scope) -> str:
    return _hash([scope[KEY], scope[VALUE]])


def _hash(content: Any) -> str:
    """A hash of the canonical JSON, in which the names of each object are sorted."""
    try:
        data = msgspec.json.encode(content, enc_hook=str, order="sorted")
    except UnicodeEncodeError:  # half a surrogate pair, or a byte outside UTF-8
        data = repr(content).encode("utf-8", "backslashreplace")
    return blake2b(data, digest_size=_HASH_BYTES).hexdigest()


_COMPILERS: dict[str, Callable[[dict[str, Any]], Source]] = {
    "const": _compile_const,
    "from": _compile_from,
    "join": _compile_join,
    "hash": _compile_hash,
}
