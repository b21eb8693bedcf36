"""Which dead letters belong to users who were erased after them. Pure.

The dead-letter topic cannot forget single records, so a worker puts an erasure marker behind them: the user's hash and
where the erasure stood. A letter is its user's by its key or by its value. Values are read leniently, since a letter is
one for being broken: every `user_id` at any depth and of any type; where there is no JSON to read, every quoted text.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from streams.contracts.dead_letters import ERASED_HEADER, OFFSET_HEADER, user_hash

_BARE = re.compile(rb'user_id["\']?\s*[:=]\s*([^\s"\',;}\]]+)')  # an id that stands there without quotes
# texts between quotes of either kind; within double ones a backslash takes the next character with it
_BETWEEN = (re.compile(rb'(?:[^"\\]+|\\.)+', re.DOTALL), re.compile(rb"[^']+"))


class Place(NamedTuple):
    """Where and when a record of the behaviour topic stood."""

    partition: int
    offset: int
    timestamp_ms: int


class Erasures:
    """The erasures of all markers, by the hash of the user."""

    def __init__(self) -> None:
        self._places: dict[str, dict[tuple[int, int], Place]] = {}

    def add(self, headers: dict[str, str], partition: int, timestamp_ms: int) -> None:
        """Take in a marker, a record with the header ERASED_HEADER. One that a replay wrote again keeps its first time."""
        place = Place(partition, int(headers[OFFSET_HEADER]), timestamp_ms)
        places = self._places.setdefault(headers[ERASED_HEADER], {})
        first = places.get(place[:2], place)
        places[place[:2]] = min(first, place)

    def cover(self, letter: Place, key: bytes | None, value: bytes | None) -> bool:
        """Whether an erasure followed of a user whom the letter's key or value names.

        In the erasure's own partition offsets tell what came before; elsewhere timestamps do.
        """
        if not self._places:
            return False
        return any(
            letter.offset < erasure.offset
            if letter.partition == erasure.partition
            else letter.timestamp_ms <= erasure.timestamp_ms
            for user in users_named(key, value)
            for erasure in self._places.get(user_hash(user), {}).values()
        )


def users_named(key: bytes | None, value: bytes | None) -> set[bytes]:
    """What may be the id of the letter's user, as UTF-8; of a broken value that is every text in it."""
    return {key or b"", *_quoted(key or b""), *_named_in(value or b"")}


def _named_in(value: bytes) -> Iterable[bytes]:
    found: list[object] = []

    def collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found.extend(content for name, content in pairs if name == "user_id")  # also the first of two
        return dict(pairs)

    try:
        document = json.loads(value, object_pairs_hook=collect, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return [*_quoted(value), *_BARE.findall(value)]
    if isinstance(document, str):  # an event that was encoded twice
        return _named_in(document.encode("utf-8", "surrogatepass"))
    return [text.encode("utf-8", "surrogatepass") for text in _texts(found)]


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | dict):
        for inner in content.values() if isinstance(content, dict) else content:
            yield from _texts(inner)


def _quoted(value: bytes) -> Iterator[bytes]:
    """What stands between two neighbouring quotes, either kind: of broken JSON nobody knows which of them open."""
    for between in _BETWEEN:
        for text in between.findall(value):
            yield text
            if b"\\" in text:
                try:
                    yield msgspec.json.decode(b'"' + text + b'"', type=str).encode()
                except ValueError:
                    continue
