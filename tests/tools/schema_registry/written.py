"""Values as producers write them with a schema registry: the wire format's prefix, then Avro, Protobuf or JSON.

The functions call the libraries themselves, and nothing of `streams`.
"""

import io
import json
from typing import Any

import fastavro
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def prefix(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big")


def avro(schema_id: int, schema: dict[str, Any], value: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return prefix(schema_id) + stream.getvalue()


def json_value(schema_id: int, value: Any) -> bytes:
    return prefix(schema_id) + json.dumps(value).encode()


def message_class(descriptors: bytes, name: str) -> Any:
    """Return the class of a message. descriptors: a FileDescriptorSet."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def protobuf(schema_id: int, indexes: bytes, message: Any) -> bytes:
    """Return the value of a message. indexes: the bytes of the message indexes, b"\\0" for the first message."""
    return prefix(schema_id) + indexes + bytes(message.SerializeToString())
