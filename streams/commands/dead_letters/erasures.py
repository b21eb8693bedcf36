"""Which dead letters belong to users who were erased later. Pure.

The dead-letter topic cannot forget single records. A worker therefore writes an erasure marker behind the user's dead
letters, with the hash of the user and the position of the erasure. A letter belongs to a user by its key or by its
value. Values are read leniently, because a dead letter is often broken: every `user_id` at any depth and of any type
counts, and every quoted text counts where the JSON cannot be read.
"""

import json
import re
from collections.abc import Iterable, Iterator, Set

import msgspec

from streams.commands.dead_letters.letter import SourcePosition
from streams.contracts.dead_letters import ERASED_HEADER, OFFSET_HEADER, epoch_of, user_hash

_UNQUOTED_ID = re.compile(rb'user_id["\']?\s*[:=]\s*([^\s"\',;}\]]+)')
# Texts between double quotes, where a backslash escapes the next character, and texts between single quotes
_QUOTED_TEXTS = (re.compile(rb'(?:[^"\\]+|\\.)+', re.DOTALL), re.compile(rb"[^']+"))


class Erasures:
    """The erasures of all markers, by the hash of the user."""

    def __init__(self) -> None:
        self._positions: dict[str, dict[tuple[int, int, int], SourcePosition]] = {}

    def add_marker(self, headers: dict[str, str], partition: int, timestamp_ms: int) -> None:
        """Take in a record with the header ERASED_HEADER. A marker that a replay repeats keeps its first timestamp."""
        position = SourcePosition(epoch_of(headers), partition, int(headers[OFFSET_HEADER]), timestamp_ms)
        positions = self._positions.setdefault(headers[ERASED_HEADER], {})
        first = positions.get(position[:3], position)
        positions[position[:3]] = min(first, position)

    def __bool__(self) -> bool:
        return bool(self._positions)

    def covers(self, letter: SourcePosition, user_ids: Set[bytes]) -> bool:
        """True when one of these users was erased after the letter. user_ids: whom the letter may name.

        Offsets decide the order in the partition of the erasure. Timestamps decide in other partitions, and in another
        incarnation of the topic, whose offsets began again at 0.
        """
        return any(
            letter.offset < erasure.offset
            if letter[:2] == erasure[:2]  # epoch and partition
            else letter.timestamp_ms <= erasure.timestamp_ms
            for user_id in user_ids
            for erasure in self._positions.get(user_hash(user_id), {}).values()
        )


def possible_user_ids(key: bytes | None, value: bytes | None) -> set[bytes]:
    """Everything that may be the id of the letter's user, as UTF-8. In a broken value, every text may be the id."""
    return {key or b"", *_quoted_texts(key or b""), *_ids_in_value(value or b"")}


def every_text(content: bytes | None) -> Iterator[bytes]:
    """Every text and number in JSON, and every quoted text in other content. By a mapping, each may be the user."""
    if content is None:
        return
    yield content
    try:
        document = json.loads(content, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        yield from _quoted_texts(content)
        return
    for text in _texts_inside(document):
        yield text.encode("utf-8", "surrogatepass")


def _ids_in_value(value: bytes) -> Iterable[bytes]:
    found: list[object] = []

    def collect_user_ids(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found.extend(content for name, content in pairs if name == "user_id")  # also when the field stands twice
        return dict(pairs)

    try:
        document = json.loads(value, object_pairs_hook=collect_user_ids, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return [*_quoted_texts(value), *_UNQUOTED_ID.findall(value)]
    if isinstance(document, str):  # an event that was encoded twice
        return _ids_in_value(document.encode("utf-8", "surrogatepass"))
    return [text.encode("utf-8", "surrogatepass") for text in _texts_inside(found)]


def _texts_inside(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | dict):
        for inner in content.values() if isinstance(content, dict) else content:
            yield from _texts_inside(inner)


def _quoted_texts(value: bytes) -> Iterator[bytes]:
    """Every text between two neighbouring quotes of one kind. In broken JSON, any quote may be an opening quote."""
    for pattern in _QUOTED_TEXTS:
        for text in pattern.findall(value):
            yield text
            if b"\\" in text:
                try:
                    yield msgspec.json.decode(b'"' + text + b'"', type=str).encode()
                except ValueError:
                    continue
