"""Reads values that were written with a schema registry, in batches. Pure: a source hands in the schemas.

A value is read by the schema that wrote the value, and by no newer one. So a record gives the same event in a year,
which `thalweg verify` needs. A field that a later schema adds is there for the records of that schema, and a field that
a later schema leaves out is missing in its records.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from encoder.data.contract.quoting import quote
from streams.engine.codec import Rejected
from streams.engine.payload.reader import JsonReader
from streams.engine.payload.wire_format import HIGHEST_ID, schema_id

# Decodes a whole value, which begins with the wire format's bytes. Raises ValueError with what is wrong.
Decode = Callable[[bytes], Any]


class SchemaSource(Protocol):
    """Gives the decoders of schemas."""

    def decoders(self, ids: AbstractSet[int]) -> Mapping[int, Decode | Rejected]:
        """The decoders of these ids. An id has a `Rejected` where no value of its schema can be read."""
        ...


class RegistryReader:
    """Reads Avro, Protobuf and JSON by the id in front of the value.

    A value without an id is read as JSON, because no JSON begins with the byte 0. So a topic may hold records from
    before its producers took up the registry, and the records of `thalweg replay`.
    """

    def __init__(self, source: SchemaSource) -> None:
        self._source = source
        self._read_json = JsonReader().read_batch

    def read_batch(self, values: Sequence[bytes]) -> list[Any]:
        ids = [schema_id(value) for value in values]
        decoders = self._source.decoders({one for one in ids if one is not None})
        found: list[Any] = []
        for value, written_by in zip(values, ids, strict=True):
            if written_by is None:
                found.append(self._read_without_id(value))
                continue
            decode = decoders[written_by]
            if isinstance(decode, Rejected):
                found.append(decode)
                continue
            try:
                found.append(decode(value))
            except ValueError as error:
                found.append(Rejected(f"value cannot be read by schema {written_by}: {error}", "value"))
        return found

    def _read_without_id(self, value: bytes) -> Any:
        if value[:1] == b"\0":
            return Rejected(
                f"value has {len(value)} bytes, {quote(value)}: the byte 0 and a schema id of 4 bytes are expected, "
                f"and an id is at most {HIGHEST_ID}",
                "value",
            )
        read = self._read_json([value])[0]
        if not isinstance(read, Rejected):
            return read
        why = f"value begins with no schema id (the byte 0, then 4 bytes), and is no JSON: {quote(value)}"
        return Rejected(why, "value")
