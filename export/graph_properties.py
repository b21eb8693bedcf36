"""What every graph of a bundle says of itself: the properties `metadata_props` of an ONNX model.

The bundle's id is a hash of the content of the graphs, so a graph that holds the id cannot be a part of its own hash.
The properties therefore stand behind the content. In protobuf, two serialised messages one after the other are one
message, whose repeated fields are joined, so a file of a graph is its content followed by its properties. The manifest
has the hash of the content. The properties need no hash: they follow from the manifest, byte for byte. This module
needs no protobuf and no onnx, because a worker checks the files at its start.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

BUNDLE_ID = "thalweg.bundle_id"
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2  # fields of ModelProto and of StringStringEntryProto in onnx.proto
_BLOCK_BYTES = 1 << 20


def serialized_properties(properties: Mapping[str, str], bundle_id: str) -> bytes:
    """The bytes behind the content of each graph; nothing for a bundle of a version before there were properties.

    properties: from the manifest, without the id.
    """
    if not properties:
        return b""
    return b"".join(
        _field(_METADATA_PROPS, _field(_KEY, name.encode()) + _field(_VALUE, value.encode()))
        for name, value in sorted({**properties, BUNDLE_ID: bundle_id}.items())
    )


def content_hash(path: Path, properties: bytes) -> str:
    """The SHA-256, hexadecimal, of a graph's content. A file that does not end with the properties has another hash.

    Raises OSError where the file cannot be read.
    """
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        left = size - len(properties)
        while left > 0 and (block := file.read(min(_BLOCK_BYTES, left))):
            digest.update(block)
            left -= len(block)
        if left or file.read() != properties:
            digest.update(b"other properties")
    return digest.hexdigest()


def _field(number: int, value: bytes) -> bytes:
    """A field of wire type LEN: https://protobuf.dev/programming-guides/encoding/."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
