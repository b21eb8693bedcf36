"""Where a field of an event stands: the values of the keys of a mapping file, as code that reads a record.

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

from encoder.data.mapping.sources.paths import Step, follow
from encoder.data.mapping.sources.times import Milliseconds
from encoder.data.mapping.sources.writer import Writer

_HASH_BYTES = 12
_EMPTY = (None, "", b"")  # what counts as absent in a list of sources


def _never(absent: frozenset[str]) -> bool:
    return False


class Source(NamedTuple):
    """A source of a mapping file."""

    shown: str  # for messages
    places: frozenset[str]  # the places that the source reads
    is_absent: Callable[[frozenset[str]], bool]  # whether the source is absent in a record without these places
    objects: tuple[tuple[str, tuple[Step, ...]], ...]  # the objects on the way, which are read before any condition
    write: Callable[[Writer], str]  # adds the code, and returns an expression of the value

    def write_value(self, writer: Writer) -> str:
        """Add the code that reads the source. Returns the expression of the value, which is None where absent."""
        if self.is_absent(writer.absent):
            return "None"
        for place, names in self.objects:
            if place not in writer.absent:
                writer.object_at(place, names)
        return self.write(writer)


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


def path_source(place: str, steps: tuple[Step, ...], shown: str) -> Source:
    """The value at the steps below a place."""
    places = frozenset([place])
    count = next((i for i, step in enumerate(steps) if not isinstance(step, str)), len(steps))
    rest = steps[count:]
    names = steps[: count - 1] if count else ()

    def write(writer: Writer) -> str:
        writer.paths.add((place, steps))
        if not steps:
            return place
        read = f"{writer.object_at(place, names)}.get({steps[count - 1]!r})" if count else place
        return f"{writer.constant(follow)}({read}, {writer.constant(rest)})" if rest else read

    return Source(shown, places, lambda absent: bool(places & absent), ((place, names),) if count else (), write)


def timestamp_source(shown: str) -> Source:
    """The timestamp of the record, which is absent where it is negative."""
    return Source(
        shown,
        frozenset(["timestamp_ms"]),
        _never,
        (),
        lambda writer: f"({writer.constant(Milliseconds)}(timestamp_ms) if timestamp_ms >= 0 else None)",
    )


def header_source(name: str, shown: str) -> Source:
    """The last header with this name in any case, as text. The last one counts, because producers append headers."""
    wanted = name.lower()

    def read(headers: Sequence[tuple[str, bytes]]) -> str | None:
        for found, value in reversed(headers):
            if found == name or found.lower() == wanted:
                return None if value is None else value.decode("utf-8", "surrogateescape")
        return None

    return Source(shown, frozenset(["headers"]), _never, (), lambda writer: f"{writer.constant(read)}(headers)")


def constant_source(value: Any) -> Source:
    """A value that is the same for every record."""
    return Source(repr(value), frozenset(), _never, (), lambda writer: writer.constant(value))


def first_source(sources: Sequence[Source]) -> Source:
    """The first source that is there, apart from null and empty texts."""

    def write(writer: Writer) -> str:
        first, *others = [source for source in sources if not source.is_absent(writer.absent)]
        if not others:
            return first.write(writer)
        found, empty = writer.variable(), writer.constant(_EMPTY)
        writer.line(f"{found} = {first.write(writer)}")
        for source in others:
            # The conditions nest, so that a record with the first source asks one question.
            writer.indent(f"if not {found} and {found} in {empty}:")
            writer.line(f"{found} = {source.write(writer)}")
        writer.dedent(len(others))
        return found

    shown = " or ".join(source.shown for source in sources)
    return _composed(shown, sources, lambda absent: all(source.is_absent(absent) for source in sources), write)


def pattern_source(source: Source, expression: re.Pattern[str]) -> Source:
    """The first group of the expression, which must match the whole text of the source."""

    def read(value: Any) -> str | None:
        text = text_of(value)
        found = expression.fullmatch(text) if isinstance(text, str) else None
        return None if found is None else found[1]

    shown = f"{source.shown} by {expression.pattern}"
    return _composed(
        shown, [source], source.is_absent, lambda writer: f"{writer.constant(read)}({source.write(writer)})"
    )


def join_source(sources: Sequence[Source], separator: str) -> Source:
    """The texts of the sources, joined. Absent where one of the texts is absent."""

    def read(*values: Any) -> str | None:
        texts = [text_of(value) for value in values]
        return separator.join(texts) if all(isinstance(text, str) and text for text in texts) else None

    shown = " with ".join(source.shown for source in sources)
    return _composed(
        shown, sources, lambda absent: any(source.is_absent(absent) for source in sources), _call(read, sources)
    )


def hash_source(sources: Sequence[Source], shown: str) -> Source:
    """A hash of the values of the sources: 24 hexadecimal digits of BLAKE2b over their canonical JSON."""
    return _composed(shown, sources, _never, _call(_LastHash(), sources))


def _call(function: Callable[..., Any], sources: Sequence[Source]) -> Callable[[Writer], str]:
    def write(writer: Writer) -> str:
        return f"{writer.constant(function)}({', '.join([_or_none(source, writer) for source in sources])})"

    return write


def _or_none(source: Source, writer: Writer) -> str:
    return "None" if source.is_absent(writer.absent) else source.write(writer)


def _composed(
    shown: str, sources: Sequence[Source], is_absent: Callable[[frozenset[str]], bool], write: Callable[[Writer], str]
) -> Source:
    places = frozenset(place for source in sources for place in source.places)
    return Source(shown, places, is_absent, tuple(one for source in sources for one in source.objects), write)


class _LastHash:
    """The hash of values. The lines of a record share the hash of the record, which is computed for the first line."""

    def __init__(self) -> None:
        self._last: tuple[tuple[Any, ...], str] = ((), _hash())

    def __call__(self, *values: Any) -> str:
        before, found = self._last
        if len(before) != len(values) or not all(map(_is_same, before, values)):
            found = _hash(*values)
            self._last = values, found  # in one assignment, because threads share a mapping
        return found


def _is_same(one: Any, other: Any) -> bool:
    """True for the same object and for equal texts. A key becomes a text of its own for each line."""
    return one is other or (one.__class__ is str and other.__class__ is str and one == other)


def _hash(*values: Any) -> str:
    try:
        data = msgspec.json.encode(values, enc_hook=str, order="sorted")
    except UnicodeEncodeError:  # half a surrogate pair, or a byte outside UTF-8
        data = repr(values).encode("utf-8", "backslashreplace")
    return blake2b(data, digest_size=_HASH_BYTES).hexdigest()
