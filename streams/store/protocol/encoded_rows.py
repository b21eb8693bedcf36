"""Rows of an unlogged batch, encoded as Cassandra's protocol carries them, and the handler that sends such rows.

The driver binds and encodes value by value, in the thread that sends the request. For the rows of users, that costs
more than all other work of a write. So any thread encodes the rows at once, column by column, and the driver only adds
the bytes to the message (native_protocol_v5.spec, 4.1.7).
"""

import io
import struct
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from cassandra.protocol import BatchMessage
from cassandra.query import BatchStatement, BatchType, PreparedStatement
from numpy.typing import NDArray

from streams.engine.state_cell import bytes_of_rows
from streams.store.protocol.raw_vectors import RawVectorProtocolHandler

_INT, _SHORT = struct.Struct(">i"), struct.Struct(">H")
_NULL = _INT.pack(-1)
_PREPARED = b"\x01"  # the query of the batch is given by the id of a prepared statement
_BEFORE_QUERIES_BYTES = 3  # type of the batch and number of queries

Values = Sequence[bytes | None]  # the encoded values of one row, one value for each marker of the statement


class EncodedRows(NamedTuple):
    """The rows of one unlogged batch."""

    body: bytes
    rows: int
    routing_key: bytes  # of the first row
    keyspace: str

    def statement(self) -> BatchStatement:
        """A batch whose message is encoded by `StoreProtocolHandler`."""
        batch = BatchStatement(BatchType.UNLOGGED)
        batch._statements_and_parameters = self
        batch.routing_key = self.routing_key
        batch.keyspace = self.keyspace
        batch.is_idempotent = True  # each row has a timestamp of its own
        return batch


def query_head(insert: PreparedStatement) -> bytes:
    """What stands before the values of each row: the statement, and the number of its values."""
    query_id: bytes = insert.query_id
    return _PREPARED + _SHORT.pack(len(query_id)) + query_id + _SHORT.pack(len(insert.column_metadata))


def encode_rows(insert: PreparedStatement, rows: Sequence[Values]) -> EncodedRows:
    """The batch of a prepared statement over rows of values. The first value of a row is its partition key."""
    head = query_head(insert)
    body = b"".join(head + b"".join(map(value_bytes, row)) for row in rows)
    assert rows[0][0] is not None, "a partition key has a value"
    return EncodedRows(body, len(rows), rows[0][0], insert.keyspace)


def value_bytes(value: bytes | None) -> bytes:
    """A value with its size in front."""
    return _NULL if value is None else _INT.pack(len(value)) + value


def sizes(lengths: Iterable[int]) -> list[bytes]:
    """What stands in front of values with these lengths in bytes. The length of a null is -1."""
    return bytes_of_rows(np.fromiter(lengths, ">i4"))


def fixed_columns(*columns: NDArray[Any]) -> list[bytes]:
    """The values of columns of fixed size, each with its size in front: n rows of bytes.

    columns: (n,) or (n, width) each, big-endian.
    """
    n = len(columns[0])
    flat = [np.ascontiguousarray(column).reshape(n, -1) for column in columns]
    widths = [column.shape[1] * column.itemsize for column in flat]
    framed = np.empty(n, [(f"{i}{part}", kind) for i, w in enumerate(widths) for part, kind in _parts(w)])
    for i, (column, width) in enumerate(zip(flat, widths, strict=True)):
        framed[f"{i}size"] = width
        framed[f"{i}value"] = column.view(f"V{width}")[:, 0]
    return bytes_of_rows(framed)


def _parts(width: int) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("size", ">i4"), ("value", f"V{width}")


class StoreProtocolHandler(RawVectorProtocolHandler):
    """The driver's protocol handler, for batches of encoded rows as well."""

    @classmethod
    def encode_message(cls, msg: Any, *arguments: Any, **named: Any) -> bytes:
        if isinstance(msg, BatchMessage) and isinstance(msg.queries, EncodedRows):
            msg = _EncodedMessage(msg)
        encoded: bytes = super().encode_message(msg, *arguments, **named)
        return encoded


class _EncodedMessage:
    """The message of a batch as the driver's handler uses it. A retry makes a new one of the driver's message."""

    opcode = BatchMessage.opcode

    def __init__(self, message: BatchMessage) -> None:
        self.tracing, self.custom_payload = message.tracing, message.custom_payload
        self._message = message

    def send_body(self, file: Any, protocol_version: int) -> None:
        """Write what the driver writes for a batch without queries, with the encoded rows in their place."""
        encoded: EncodedRows = self._message.queries
        empty, written = copy(self._message), io.BytesIO()
        empty.queries = ()
        empty.send_body(written, protocol_version)
        before = _BEFORE_QUERIES_BYTES
        file.write(written.getvalue()[: before - _SHORT.size] + _SHORT.pack(encoded.rows))
        file.write(encoded.body)
        file.write(written.getvalue()[before:])
