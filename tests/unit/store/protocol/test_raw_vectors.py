"""Types of result columns: vectors stay bytes, and reading results makes no classes."""

import io
import struct
from typing import Any

from cassandra.cqltypes import BytesType, Int32Type, ListType, VectorType

from streams.store.protocol.raw_vectors import RawVectorProtocolHandler

RESULT = 0x08  # the opcode of a result: native_protocol_v5.spec, 2.4
VECTOR_NAME = "org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.FloatType,67)"


def read_type(encoded: bytes) -> Any:
    return RawVectorProtocolHandler.message_types_by_opcode[RESULT].read_type(io.BytesIO(encoded), {})


def custom(name: str) -> bytes:
    return struct.pack(">HH", 0, len(name)) + name.encode()


def test_reading_many_results_with_a_vector_makes_no_class() -> None:
    read_type(custom(VECTOR_NAME))
    before = len(VectorType.__subclasses__())
    found = {read_type(custom(VECTOR_NAME)) for _ in range(100)}
    assert found == {BytesType}
    assert len(VectorType.__subclasses__()) == before


def test_other_types_are_those_of_the_driver() -> None:
    assert read_type(struct.pack(">H", 0x09)) is Int32Type
    assert read_type(custom("org.apache.cassandra.db.marshal.Int32Type")) is Int32Type
    assert issubclass(read_type(struct.pack(">HH", 0x20, 0x09)), ListType)
