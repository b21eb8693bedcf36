"""Results of Cassandra whose vectors stay bytes. Numpy decodes them at once; the driver would make lists of floats."""

from typing import Any, ClassVar

from cassandra.cqltypes import BytesType, VectorType
from cassandra.protocol import ProtocolHandler, ResultMessage

_Result: Any = ProtocolHandler.message_types_by_opcode[ResultMessage.opcode]  # the compiled parser, where there is one


class _ResultWithRawVectors(_Result):
    column_metadata: Any

    def recv_results_metadata(self, f: Any, user_type_map: Any) -> None:
        super().recv_results_metadata(f, user_type_map)
        if self.column_metadata:
            self.column_metadata = [
                (*column[:3], BytesType if issubclass(column[3], VectorType) else column[3])
                for column in self.column_metadata
            ]


class RawVectorProtocolHandler(ProtocolHandler):
    """The driver's protocol handler with results whose vectors are bytes."""

    message_types_by_opcode: ClassVar[dict[int, Any]] = {
        **ProtocolHandler.message_types_by_opcode,
        _Result.opcode: _ResultWithRawVectors,
    }
