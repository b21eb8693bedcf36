"""Results of Cassandra whose vectors stay bytes. Numpy decodes them at once; the driver would make lists of floats."""

from functools import cache
from typing import Any, ClassVar

from cassandra.cqltypes import BytesType, VectorType, lookup_casstype
from cassandra.protocol import ProtocolHandler, ResultMessage

_Result: Any = ProtocolHandler.message_types_by_opcode[ResultMessage.opcode]  # the compiled parser, where there is one
_CUSTOM_TYPE = b"\x00\x00"  # the type's name follows: native_protocol_v5.spec, 4.2.5.2


@cache
def _column_type(name: str) -> Any:
    """The driver's class for a type's name, BytesType for a vector.

    The driver makes a class of 2 KB for each vector column of each result. Only the cycle collector frees such a class.
    """
    found = lookup_casstype(name)
    return BytesType if issubclass(found, VectorType) else found


class _ResultWithRawVectors(_Result):
    @classmethod
    def read_type(cls, f: Any, user_type_map: Any) -> Any:
        begin = f.tell()
        if f.read(2) == _CUSTOM_TYPE:
            size = int.from_bytes(f.read(2), "big")
            return _column_type(f.read(size).decode())
        f.seek(begin)
        return super().read_type(f, user_type_map)


class RawVectorProtocolHandler(ProtocolHandler):
    """The driver's protocol handler with results whose vectors are bytes."""

    message_types_by_opcode: ClassVar[dict[int, Any]] = {
        **ProtocolHandler.message_types_by_opcode,
        _Result.opcode: _ResultWithRawVectors,
    }
