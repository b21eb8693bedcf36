"""Reads representation updates in every format that a worker writes: JSON, or a value with a schema id."""

import logging
from collections.abc import Sequence
from typing import Any

from streams.broker.decoding.opening import open_client
from streams.broker.decoding.schemas import Schemas
from streams.config.settings import REGISTRY, Settings, setting_label
from streams.contracts.representation_updates import RepresentationUpdate, read_json_update
from streams.engine.codec import Rejected
from streams.engine.payload.update_fields import update_of
from streams.engine.payload.wire_format import schema_id

logger = logging.getLogger(__name__)


class UpdateReader:
    """Decides by the value itself: the byte 0 begins a value with a schema id, and any other byte begins JSON.

    So one topic may hold updates from before and after a change of the setting `updates_format`. The registry is asked
    when the first value with a schema id comes.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._schemas: Schemas | None = None
        self._is_told = False

    async def prepare(self, records: Sequence[Any]) -> None:
        """Get the schemas of these records. Waits for the registry as long as the registry does not answer.

        Raises SettingsError.
        """
        if any(record.value is not None and schema_id(record.value) is not None for record in records):
            schemas = self._open()
            if schemas is not None:
                await schemas.prepare(records)

    def decode(self, value: bytes) -> RepresentationUpdate:
        """The update in a value. Blocks while a schema is asked for that nobody has prepared.

        Raises ValueError for a value that is no update or whose schema is not known, SettingsError, and RegistryError
        where the registry does not answer.
        """
        one = schema_id(value)
        if one is None:
            return read_json_update(value)
        schemas = self._open()
        if schemas is None:
            raise ValueError(f"the value is written with schema {one}, and {setting_label(REGISTRY)} is not set")
        decode = schemas.decoders({one})[one]
        if isinstance(decode, Rejected):
            raise ValueError(decode.reason)
        return update_of(decode(value))

    def _open(self) -> Schemas | None:
        if self._schemas is None and (client := open_client(self._settings)) is not None:
            self._schemas = Schemas(client, "the updates are left out")
        if self._schemas is None and not self._is_told:
            self._is_told = True
            logger.warning(
                "updates of topic %s are written with a schema, and cannot be read: set %s to the address of the "
                "schema registry",
                self._settings.updates_topic,
                setting_label(REGISTRY),
            )
        return self._schemas
