"""Whom a dead letter may name, by the event contract or by a mapping."""

from collections.abc import Sequence, Set
from typing import Any

from encoder.data.mapping import SourceRecord, load_mapping
from streams.broker.decoding.record_decoder import open_payload
from streams.commands.dead_letters.erasures import every_text, possible_user_ids
from streams.config.settings import Settings
from streams.engine.codec import Rejected
from streams.engine.payload.reader import PayloadReader
from streams.engine.payload.wire_format import schema_id


class LetterUsers:
    """Every id that a dead letter may have as its user. The schema registry is asked when the first letter is read."""

    def __init__(self, settings: Settings) -> None:
        """Raises MappingError."""
        self._settings = settings
        self._mapping = None if settings.mapping is None else load_mapping(settings.mapping)
        self._reader: PayloadReader | None = None

    def prepare(self, letters: Sequence[Any]) -> None:
        """Get the schemas of these letters together, because the answer about an unknown schema takes almost a second.

        Raises SettingsError and RegistryError for a schema registry.
        """
        values = [one.value for one in letters if one.value is not None and schema_id(one.value) is not None]
        if values and self._settings.schema_registry is not None:
            self._payload.read_batch(values)

    def of(self, letter: Any) -> Set[bytes]:
        """Every id, in UTF-8, that a dead letter may have as its user.

        Raises SettingsError and RegistryError for a schema registry.
        """
        mapping = self._mapping
        if mapping is None:
            return possible_user_ids(letter.key, letter.value) | self._user_by_contract(letter.value)
        found = {*every_text(letter.key), *every_text(letter.value)}
        found |= {text for _, value in letter.headers for text in every_text(value)}
        read = None if letter.value is None else self._payload.read_batch([letter.value])[0]
        if read is not None and not isinstance(read, Rejected):
            user_id = mapping.user_of(SourceRecord(read, letter.key, letter.headers, letter.timestamp))
            found |= set() if user_id is None else {user_id.encode("utf-8", "surrogatepass")}
        return found

    def _user_by_contract(self, value: bytes | None) -> Set[bytes]:
        """The user in a value that is no JSON. `possible_user_ids` knows the users in JSON."""
        if value is None or schema_id(value) is None:
            return set()
        read = self._payload.read_batch([value])[0]
        user_id = read.get("user_id") if isinstance(read, dict) else None
        return {user_id.encode("utf-8", "surrogatepass")} if isinstance(user_id, str) else set()

    @property
    def _payload(self) -> PayloadReader:
        if self._reader is None:
            self._reader = open_payload(self._settings)
        return self._reader
