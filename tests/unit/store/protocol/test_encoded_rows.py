"""Encoded rows: the bytes are those that the driver sends for the same values."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cassandra import ConsistencyLevel
from cassandra.protocol import BatchMessage, ProtocolHandler
from cassandra.query import BatchType

from streams.store.protocol.encoded_rows import (
    StoreProtocolHandler,
    Values,
    encode_rows,
    fixed_columns,
    sizes,
    value_bytes,
)

INSERT: Any = SimpleNamespace(
    query_id=bytes(range(16)), keyspace="shop", column_metadata=["user_id", "item", "state", "time"]
)
ROWS: list[Values] = [[b"ann", None, b"", b"\x00\x01"], ["Zoë".encode(), b"tee", b"x" * 70_000, None]]


def message(queries: Any, timestamp: int | None) -> BatchMessage:
    return BatchMessage(BatchType.UNLOGGED, queries, ConsistencyLevel.LOCAL_QUORUM, timestamp=timestamp)


@pytest.mark.parametrize("timestamp", [None, 12])
def test_the_message_has_the_bytes_that_the_driver_makes(timestamp: int | None) -> None:
    by_driver = message([(True, INSERT.query_id, row) for row in ROWS], timestamp)
    options: dict[str, Any] = {"compressor": None, "allow_beta_protocol_version": False}
    expected = ProtocolHandler.encode_message(by_driver, 7, 5, **options)
    ours = message(encode_rows(INSERT, ROWS), timestamp)
    assert StoreProtocolHandler.encode_message(ours, 7, 5, **options) == expected
    assert StoreProtocolHandler.encode_message(ours, 7, 5, **options) == expected  # as in a retry
    assert StoreProtocolHandler.encode_message(by_driver, 7, 5, **options) == expected


def test_a_statement_is_routed_by_its_first_row() -> None:
    encoded = encode_rows(INSERT, ROWS)
    statement = encoded.statement()
    assert (statement.routing_key, statement.keyspace, statement.batch_type) == (b"ann", "shop", BatchType.UNLOGGED)
    assert encoded.rows == 2


def test_columns_of_fixed_size_have_each_size_in_front() -> None:
    vector, number = np.arange(6, dtype=">f4").reshape(2, 3), np.array([1, -2], ">i8")
    expected = [value_bytes(vector[i].tobytes()) + value_bytes(number[i : i + 1].tobytes()) for i in range(2)]
    assert fixed_columns(vector, number) == expected


def test_sizes_stand_in_front_of_values() -> None:
    assert sizes([0, 3, -1]) == [value_bytes(b""), value_bytes(b"abc")[:4], value_bytes(None)]
