"""Decodes Avro values to plain objects. Pure.

The logical types become what an event needs: times become milliseconds since 1970 as ints, decimals become floats, a
date becomes its ISO text, and a UUID becomes a text. An enum becomes its symbol, and a union becomes the value in it.
https://avro.apache.org/docs/1.12.0/specification/#logical-types
"""

import math
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import fastavro
from fastavro._read_py import schemaless_reader as read_in_python
from fastavro.read import LOGICAL_READERS
from msgspec import json

from streams.engine.payload.registry_reader import Decode
from streams.engine.payload.wire_format import PREFIX_BYTES

# What fastavro raises for bytes that are no value of the schema
_FAULTS = (
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    ArithmeticError,  # also a decimal whose scale is negative
    MemoryError,
    RecursionError,
    struct.error,
    StopIteration,
)
_SCHEMA_FAULTS = (
    fastavro.schema.SchemaParseException,
    fastavro.schema.UnknownType,
    KeyError,
    TypeError,
    RecursionError,
)
_COMPILED_DEPTH = 100
_OWN = "thalweg-"  # fastavro's table of readers belongs to the process, so our readers have names of their own
_NUMBERS_PER_MS = {"micros": 1_000, "nanos": 1_000_000}
_EPOCH = datetime.fromtimestamp(0, UTC).date()


def avro_decoder(schemas: Sequence[str]) -> Decode:
    """A decoder of Avro values with the wire format's prefix.

    schemas: JSON. The last schema is the schema of the values. A schema stands behind every schema whose types it
    names. Raises ValueError for schemas that cannot be used.
    """
    named: dict[str, Any] = {}
    try:
        for text in schemas:
            schema = fastavro.parse_schema(_with_own_types(json.decode(text)), named_schemas=named)
        depth = _depth(schema, named)
    except _SCHEMA_FAULTS as error:
        raise ValueError(f"the Avro schema cannot be used: {type(error).__name__}: {error}") from None
    # fastavro's compiled reader knows no limit of depth, and may end the process. The reader in Python raises
    # RecursionError.
    read = fastavro.schemaless_reader if depth <= _COMPILED_DEPTH else read_in_python

    def decode(value: bytes) -> Any:
        stream = BytesIO(value)
        stream.seek(PREFIX_BYTES)
        try:
            found = read(stream, schema, None)
        except _FAULTS as error:
            raise ValueError(f"{type(error).__name__} {error}".rstrip()) from None
        if stream.tell() != len(value):
            raise ValueError(f"the value ends at byte {stream.tell()}, and the record has {len(value)} bytes")
        return found

    return decode


def _with_own_types(schema: Any) -> Any:
    """The schema with names of our own for the logical types that are not read as fastavro reads them."""
    if isinstance(schema, list):
        return [_with_own_types(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = dict(schema)
    for name in ("type", "items", "values"):
        if name in changed:
            changed[name] = _with_own_types(changed[name])
    if isinstance(fields := changed.get("fields"), list):
        changed["fields"] = [_with_own_types(field) for field in fields]
    logical = changed.pop("logicalType", None)
    if isinstance(logical, str) and f"{changed.get('type')}-{_OWN}{logical}" in LOGICAL_READERS:
        changed["logicalType"] = _OWN + logical
    return changed


def _depth(schema: Any, named: Mapping[str, Any]) -> float:
    """How deep a value of the schema may be nested; infinity where a record may hold a record of its own type.

    schema: as fastavro has parsed it. named: its types by name. Raises RecursionError for types that are nested too
    deep.
    """
    depths: dict[str, float] = {}

    def of(one: Any) -> float:
        if isinstance(one, list):
            return 1 + max(map(of, one), default=0)
        if isinstance(one, str):
            return 0 if one not in named else depths[one] if one in depths else of(named[one])
        if "fields" not in one:
            return 1 + of(one.get("items", one.get("values", one["type"])))
        depths[one["name"]] = math.inf  # for a field that names the record
        depths[one["name"]] = 1 + max((of(field["type"]) for field in one["fields"]), default=0)
        return depths[one["name"]]

    return of(schema)


def _decimal(data: bytes, schema: Any, _: Any) -> float:
    return int.from_bytes(data, "big", signed=True) / int(10 ** schema.get("scale", 0))


def _date(days: int, *_: Any) -> str | int:
    """The ISO text, or the number of days where the calendar has no such date."""
    try:
        return (_EPOCH + timedelta(days)).isoformat()
    except OverflowError:
        return days


def _register() -> None:
    for zone in ("", "local-"):
        for unit, count in _NUMBERS_PER_MS.items():
            LOGICAL_READERS[f"long-{_OWN}{zone}timestamp-{unit}"] = lambda number, *_, count=count: number // count
    LOGICAL_READERS[f"bytes-{_OWN}decimal"] = LOGICAL_READERS[f"fixed-{_OWN}decimal"] = _decimal
    LOGICAL_READERS[f"int-{_OWN}date"] = _date
    LOGICAL_READERS[f"fixed-{_OWN}uuid"] = lambda data, *_: str(UUID(bytes=bytes(data)))


_register()
