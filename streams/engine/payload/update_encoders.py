"""Representation updates in the wire format of a schema registry: Avro, Protobuf, or JSON with a schema. Pure.

The schemas are the files `representations.updates.v1.*` in `streams/contracts/schemas`. A vector is one run of
little-endian floats in Avro and in Protobuf, so its bytes are copied as they are. A library would make a Python float
of each component: docs/decisions.md#encoders-of-updates
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np

from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.payload.varints import unsigned, varint_runs, varints, zigzag
from streams.engine.payload.wire_format import MAGIC, PREFIX_BYTES

Updates = Sequence[RepresentationUpdate]
Encode = Callable[[Updates], list[bytes]]
_FLOAT_BYTES = 4
_ID_BYTES = PREFIX_BYTES - 1
_FIRST_MESSAGE = b"\0"  # the message indexes of a schema's first message
_encoder = msgspec.json.Encoder()


class UpdateFormat(NamedTuple):
    """A format of updates. kind: what a registry calls the format. suffix: of the file with the schema."""

    kind: str
    suffix: str
    encode: Callable[[bytes, Updates], list[bytes]]


def update_encoder(name: str, schema_id: int) -> Encode:
    """The encoder of updates in a format of FORMATS. schema_id: the id of the registered schema.

    The same updates always give the same bytes, also in batches of another size.
    """
    prefix = bytes([MAGIC]) + schema_id.to_bytes(_ID_BYTES, "big")
    return partial(FORMATS[name].encode, prefix)


def _avro(prefix: bytes, updates: Updates) -> list[bytes]:
    columns = (
        _avro_texts(update.user_id for update in updates),
        _avro_texts(update.bundle_id for update in updates),
        _avro_floats([update.representation for update in updates]),
        varints(zigzag([update.steps for update in updates])),
        varints(zigzag([update.event_time_ms for update in updates])),
        _avro_texts(update.source for update in updates),
        _avro_ints([update.recent_items or b"" for update in updates]),
        _avro_floats([update.recent_scores or b"" for update in updates]),
        _avro_ints([update.bought_items or b"" for update in updates]),
    )
    return [prefix + b"".join(parts) for parts in zip(*columns, strict=True)]


def _avro_texts(texts: Iterable[str]) -> list[bytes]:
    encoded = list(map(str.encode, texts))
    lengths = varints(zigzag(list(map(len, encoded))))
    return [length + text for length, text in zip(lengths, encoded, strict=True)]


def _avro_floats(fields: list[bytes]) -> list[bytes]:
    return _avro_arrays(fields, fields)


def _avro_ints(fields: list[bytes]) -> list[bytes]:
    return _avro_arrays(fields, _zigzag_runs(fields))


def _avro_arrays(fields: list[bytes], items: list[bytes]) -> list[bytes]:
    """Arrays of one block each. fields: 4 bytes for each item. items: the encoded items of each array."""
    counts = varints(zigzag([len(field) // _FLOAT_BYTES for field in fields]))
    return [count + item + b"\0" if item else b"\0" for count, item in zip(counts, items, strict=True)]


def _zigzag_runs(fields: list[bytes]) -> list[bytes]:
    """Little-endian 32-bit integers as varints in zigzag form."""
    numbers = np.frombuffer(b"".join(fields), "<i4")
    return varint_runs(zigzag(numbers), np.array([len(field) // _FLOAT_BYTES for field in fields], np.int64))


def _protobuf(prefix: bytes, updates: Updates) -> list[bytes]:
    start = prefix + _FIRST_MESSAGE
    columns = (
        _fields(1, [update.user_id.encode() for update in updates]),
        _fields(2, [update.bundle_id.encode() for update in updates]),
        _fields(3, [update.representation for update in updates]),
        _numbers(4, [update.steps for update in updates]),
        _numbers(5, [update.event_time_ms for update in updates]),
        _fields(6, [update.source.encode() for update in updates]),
        _fields(7, _zigzag_runs([update.recent_items or b"" for update in updates])),
        _fields(8, [update.recent_scores or b"" for update in updates]),
        _fields(9, _zigzag_runs([update.bought_items or b"" for update in updates])),
    )
    return [start + b"".join(parts) for parts in zip(*columns, strict=True)]


def _fields(number: int, contents: list[bytes]) -> list[bytes]:
    """Fields with a length (texts and packed numbers). An empty field is left out, as in every library."""
    tag = bytes([number << 3 | 2])
    lengths = varints(unsigned(list(map(len, contents))))
    return [tag + length + content if content else b"" for length, content in zip(lengths, contents, strict=True)]


def _numbers(number: int, values: list[int]) -> list[bytes]:
    """Fields of whole numbers that are not negative. A 0 is left out, as in every library."""
    tag = bytes([number << 3])
    return [tag + varint if value else b"" for varint, value in zip(varints(unsigned(values)), values, strict=True)]


def _json(prefix: bytes, updates: Updates) -> list[bytes]:
    return [prefix + line for line in _encoder.encode_lines(list(updates)).split(b"\n")[:-1]]


FORMATS = {
    "avro": UpdateFormat("AVRO", "avsc", _avro),
    "protobuf": UpdateFormat("PROTOBUF", "proto", _protobuf),
    "json-schema": UpdateFormat("JSON", "json", _json),
}
