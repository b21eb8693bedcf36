"""Whom a dead letter may name, by the event contract or by a mapping."""

from collections.abc import Callable, Set
from typing import Any

from encoder.data.mapping import SourceRecord, load_mapping
from streams.commands.dead_letters.erasures import every_text, possible_user_ids
from streams.config.settings import Settings
from streams.engine.codec import Rejected
from streams.engine.payload.reader import JsonReader


def user_ids_reader(settings: Settings) -> Callable[[Any], Set[bytes]]:
    """A function that returns every id, in UTF-8, that a dead letter may have as its user. Raises MappingError."""
    if settings.mapping is None:
        return lambda letter: possible_user_ids(letter.key, letter.value)
    mapping, payload = load_mapping(settings.mapping), JsonReader()

    def by_mapping(letter: Any) -> Set[bytes]:
        found = {*every_text(letter.key), *every_text(letter.value)}
        found |= {text for _, value in letter.headers for text in every_text(value)}
        read = None if letter.value is None else payload.read_batch([letter.value])[0]
        if read is not None and not isinstance(read, Rejected):
            user_id = mapping.user_of(SourceRecord(read, letter.key, letter.headers, letter.timestamp))
            found |= set() if user_id is None else {user_id.encode("utf-8", "surrogatepass")}
        return found

    return by_mapping
