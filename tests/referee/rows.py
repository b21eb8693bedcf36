"""Rows of users in Cassandra, read with the driver alone. The state cell is decoded by its documented layout.

The layout stands in the docstring of streams/engine/state_cell.py:

    format uint8, epoch int32, partition int32, offset int64, steps int64, last_time_ms int64,
    length of the last item uint16, last item (UTF-8), 8 hashes uint64, state (S,) float32, CRC-32; little-endian

The CRC-32 runs over the bundle id, the user id, the cell without its checksum, and the representation as it is stored.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import ConstantReconnectionPolicy, RoundRobinPolicy
from cassandra.query import SimpleStatement, tuple_factory

from tests.referee.model import Model, Outlook, Vector

FORMAT = 2
HEAD = struct.Struct("<BiiqqqH")
HASHES_BYTES = 8 * 8
CRC = struct.Struct("<I")
REQUEST_LIMIT_S = 30.0


@dataclass(frozen=True)
class Row:
    """A stored row. fault: what is wrong with the row in itself; None for an intact row."""

    user_id: str
    outlook: Outlook
    steps: int
    last_time_ms: int
    last_item: str | None
    epoch: int
    partition: int
    offset: int
    state: Vector  # (S,) float32
    fault: str | None


class Rows:
    """The tables of one Cassandra."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        profile = ExecutionProfile(
            load_balancing_policy=RoundRobinPolicy(),
            consistency_level=ConsistencyLevel.ALL,
            request_timeout=REQUEST_LIMIT_S,
            row_factory=tuple_factory,
        )
        self._cluster = Cluster(
            [host],
            port=int(port),
            protocol_version=5,
            reconnection_policy=ConstantReconnectionPolicy(1.0, max_attempts=None),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        self._session = self._cluster.connect()

    def close(self) -> None:
        self._cluster.shutdown()

    def of_bundle(self, keyspace: str, model: Model) -> dict[str, Row]:
        """Every row of the bundle, by user."""
        table = f"{keyspace}.representations_{model.representation_width}"
        columns = "user_id, representation, steps, last_time_ms, last_item, state"
        columns += ", recent_items, recent_scores" if model.places else ""
        columns += ", bought_items" if model.bought_places else ""
        query = f"SELECT {columns} FROM {table} WHERE bundle_id = %s ALLOW FILTERING"
        rows = self._session.execute(SimpleStatement(query, fetch_size=500), [model.bundle_id])
        return {row[0]: decode_row(model.bundle_id, _all_columns(row, model)) for row in rows}

    def updates_topic(self, keyspace: str, model: Model) -> str:
        """The topic to which the workers of the bundle publish updates, as docs/contracts.md lets a reader find it."""
        query = f"SELECT updates_topic FROM {keyspace}.bundles WHERE bundle_id = %s"
        return str(self._session.execute(query, [model.bundle_id]).one()[0])

    def has(self, keyspace: str, model: Model, user_id: str) -> bool:
        table = f"{keyspace}.representations_{model.representation_width}"
        query = f"SELECT steps FROM {table} WHERE user_id = %s AND bundle_id = %s"
        return bool(list(self._session.execute(query, [user_id, model.bundle_id])))

    def truncate(self, keyspace: str, model: Model) -> None:
        """Delete all rows of the table in which the bundle's rows are, as an operator's mistake would."""
        self._session.execute(f"TRUNCATE {keyspace}.representations_{model.representation_width}")


def _all_columns(row: Sequence[Any], model: Model) -> list[Any]:
    """The values of a row, with None for columns that the bundle does not fill."""
    first, recent = row[:6], row[6:8] if model.places else (None, None)
    return [*first, *recent, row[-1] if model.bought_places else None]


def decode_row(bundle_id: str, row: Sequence[Any]) -> Row:
    """Decode a row: user, representation, steps, time and item of the last event, state cell, recent items and their
    scores, and bought items."""
    user_id, vector, steps, last_time_ms, last_item, cell, items, scores, bought = row
    stored = np.array(vector or [], ">f4").tobytes()
    outlook = Outlook(
        np.frombuffer(stored, ">f4").astype(np.float32),
        np.array(items or [], np.int64),
        np.array(scores or [], np.float32),
        np.array(bought or [], np.int64),
    )
    if cell is None or len(cell) < HEAD.size + HASHES_BYTES + CRC.size:
        nothing = np.zeros(0, np.float32)
        return Row(user_id, outlook, steps or 0, last_time_ms or 0, last_item, -1, -1, -1, nothing, "the cell is short")
    body, checksum = cell[: -CRC.size], CRC.unpack(cell[-CRC.size :])[0]
    layout, epoch, partition, offset, cell_steps, cell_time_ms, item_bytes = HEAD.unpack_from(body)
    item_end = HEAD.size + item_bytes
    item = body[HEAD.size : item_end].decode() or None
    fault = None
    if crc32(stored, crc32(body, crc32(user_id.encode(), crc32(bundle_id.encode())))) != checksum:
        fault = "the checksum of the cell is wrong"
    elif layout != FORMAT:
        fault = f"the cell has the format {layout} instead of {FORMAT}"
    elif (steps, last_time_ms, last_item) != (cell_steps, cell_time_ms, item):
        fault = f"the columns say {(steps, last_time_ms, last_item)}, the cell {(cell_steps, cell_time_ms, item)}"
    return Row(
        user_id=user_id,
        outlook=outlook,
        steps=cell_steps,
        last_time_ms=cell_time_ms,
        last_item=item,
        epoch=epoch,
        partition=partition,
        offset=offset,
        state=np.frombuffer(body, "<f4", offset=item_end + HASHES_BYTES).astype(np.float32),
        fault=fault,
    )
