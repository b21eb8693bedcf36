"""Rows of users in Cassandra: read in bulk, written in unlogged batches, confirmed.

Guaranteed: `write` and `erase` return after every row is acknowledged at LOCAL_QUORUM. Not guaranteed: other rows of a
failed call may be stored. A repetition with the same source position changes nothing.
"""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.queries import bought_of_states, recent_of_states
from streams.engine.arena import NO_OFFSET, StoredUser
from streams.engine.epochs import EpochView
from streams.engine.planning.candidates import Erased
from streams.engine.planning.rows import Rows
from streams.engine.state_cell import bytes_of_rows, cell_bytes, decode_state, encode_states, owner_crc
from streams.store import cql_schema
from streams.store.positions.pending_erasures import PendingErasures
from streams.store.protocol.encoded_rows import EncodedRows, fixed_columns, query_head, sizes, value_bytes
from streams.store.protocol.row_batches import divide, row_bytes
from streams.store.session import Session

USERS_PER_READ = 100  # keys of one IN: the coordinator sends that many reads at once

# The columns whose values differ in size come first, then those that are equal in all rows of a request, then the
# columns of fixed size, to which those of recent and bought items belong.
_COLUMNS = ("user_id", "last_item", "state", "bundle_id", "written_at", "representation", "steps", "last_time_ms")
_BIGINT = struct.Struct(">q")

Requests = Sequence[EncodedRows]


class DamagedRow(NamedTuple):
    """A stored row that cannot be used, and the reason."""

    user_id: str
    why: str


class UserRows:
    """The rows of one bundle's users."""

    def __init__(
        self, session: Session, keyspace: str, bundle: Bundle, erasures: PendingErasures, ttl_s: int | None = None
    ) -> None:
        """Prepare the statements. The tables must exist. Blocks. Raises StoreError.

        ttl_s: after this time Cassandra forgets a row that is not written again. The cells of such rows hold the time
        by which a history expires.
        """
        manifest = bundle.manifest
        self._session = session
        self._erasures = erasures
        self._bundle_id = bundle.bundle_id
        self._manifest = manifest
        self._row_bytes = row_bytes(manifest)
        self._view = EpochView(0, frozenset([0]))
        self._table = f"{keyspace}.{cql_schema.representations_table(manifest.representation_width)}"
        of_items = list(cql_schema.item_columns(manifest.recent_places, manifest.bought_places))
        names = [*_COLUMNS, *of_items]
        self._expires = ttl_s is not None
        values, ttl = ", ".join("?" * len(names)), f" AND TTL {ttl_s}" if self._expires else ""
        self._insert = session.prepare(
            f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ({values}) USING TIMESTAMP ?{ttl}"
        )
        columns = "SELECT user_id, representation, state"
        self._select = session.prepare(f"{columns} FROM {self._table} WHERE user_id IN ? AND bundle_id = ?")
        columns = ", ".join([columns, *of_items])
        self._scan = session.prepare(f"{columns} FROM {self._table} WHERE bundle_id = ? ALLOW FILTERING")
        self._delete = session.prepare(
            f"DELETE FROM {self._table} USING TIMESTAMP ? WHERE user_id = ? AND bundle_id = ?"
        )

    def use_epoch(self, view: EpochView) -> None:
        """Write rows under this epoch, and compare stored positions with this epoch, from now on."""
        self._view = view

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser | DamagedRow]:
        """The stored rows of these users. Users without a row are left out. Raises StoreError."""
        return [self._stored_user(row) for row in await self._rows_of(self._select, user_ids)]

    async def _rows_of(self, statement: Any, user_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        parts = [user_ids[i : i + USERS_PER_READ] for i in range(0, len(user_ids), USERS_PER_READ)]
        results = await asyncio.gather(*(self._session.request(statement, (p, self._bundle_id)) for p in parts))
        return [row for rows in results for row in rows or ()]

    def hides(self, user_id: str, partition: int, offset: int) -> bool:
        """True where an applied erasure at a later offset has deleted the row that the user had at this offset."""
        return self._erasures.hides(user_id, partition, offset)

    def has_rows(self) -> bool:
        """True where the bundle has a row. Blocks. Raises StoreError."""
        query = f"SELECT user_id FROM {self._table} WHERE bundle_id = %s LIMIT 1 ALLOW FILTERING"
        return bool(list(self._session.execute("look for a row", query, (self._bundle_id,))))

    def scan(self) -> Iterator[StoredUser | DamagedRow]:
        """Every stored row of the bundle. Blocks, so only commands use the scan. Raises StoreError.

        The scan also compares the columns of recent and bought items with the state, which has them too.
        """
        for row in self._session.scan("read all rows", self._scan, (self._bundle_id,)):
            yield self._stored_user(row)

    def _stored_user(self, row: tuple[Any, ...]) -> StoredUser | DamagedRow:
        user_id, representation, cell, *of_items = row
        try:
            if representation is None or cell is None:
                raise ValueError("a cell of the row is empty")
            owner = owner_crc(self._bundle_id.encode(), user_id.encode())
            state = decode_state(owner, representation, cell, self._manifest.state_width)
            if of_items and of_items != [column.tobytes() for column in self._item_columns(state.state[None])]:
                raise ValueError("the recent or bought items of the row are not those of its state")
        except ValueError as error:
            return DamagedRow(user_id, f"the stored row of user {user_id!r} in {self._table} is damaged: {error}")
        return StoredUser(
            user_id=user_id,
            partition=state.partition,
            is_current=state.epoch >= self._view.epoch,
            offset=state.offset if state.epoch in self._view.comparable else NO_OFFSET,
            steps=state.steps,
            last_time_ms=state.last_time_ms,
            last_item=state.last_item,
            recent=list(state.recent),
            last_record_ms=state.last_record_ms,
            state=state.state,
            representation=np.frombuffer(representation, ">f4").astype(np.float32),
        )

    def encode(
        self,
        rows: Rows,
        state: NDArray[np.float32],
        representation: NDArray[np.float32],
        generation_id: int,
        now_ms: int,
    ) -> Requests:
        """Encode n rows as requests for `write`. Any thread may call this method.

        state: (n, S) float32, representation: (n, D) float32, in the order of the rows.
        """
        timestamp = cql_schema.write_timestamp(self._view.epoch, rows.offset, generation_id)
        return self._encode(rows, state, representation, timestamp, now_ms)

    def _encode(
        self,
        rows: Rows,
        state: NDArray[np.float32],
        representation: NDArray[np.float32],
        timestamp_us: NDArray[np.int64],
        now_ms: int,
    ) -> Requests:
        if not len(rows):
            return []
        epoch, bundle_key = self._view.epoch, self._bundle_id.encode()
        keys = [user_id.encode() for user_id in rows.user_id]
        items = [None if item is None else item.encode() for item in rows.last_item.tolist()]
        stored = representation.astype(">f4")
        expires = self._expires
        cell_parts = encode_states(bundle_key, keys, bytes_of_rows(stored), epoch, rows, items, state, expires)
        numbers = (rows.steps, rows.last_time_ms, timestamp_us)
        steps, last_time_ms, timestamp = (column.astype(">i8") for column in numbers)
        columns = (
            repeat(query_head(self._insert), len(rows)),
            *(sizes(map(len, keys)), keys),
            *(sizes(-1 if item is None else len(item) for item in items), [item or b"" for item in items]),
            *(sizes(cell_bytes(self._manifest.state_width, expires) + len(item or b"") for item in items), *cell_parts),
            repeat(value_bytes(bundle_key) + value_bytes(_BIGINT.pack(now_ms)), len(rows)),
            fixed_columns(stored, steps, last_time_ms, *self._item_columns(state), timestamp),
        )
        names = (len(key) + 2 * len(item or b"") for key, item in zip(keys, items, strict=True))
        requests, begin = [], 0
        for part in divide(list(zip(*columns, strict=True)), (self._row_bytes + size for size in names)):
            body = b"".join(chain.from_iterable(part))
            requests.append(EncodedRows(body, len(part), keys[begin], self._insert.keyspace))
            begin += len(part)
        return requests

    def _item_columns(self, state: NDArray[np.float32]) -> list[NDArray[Any]]:
        """The columns of `cql_schema.item_columns`, big-endian, for n rows with these (n, S) states."""
        places, bought_places = self._manifest.recent_places, self._manifest.bought_places
        columns: list[NDArray[Any]] = []
        if places:
            item, score = recent_of_states(state, places)
            columns += [item.astype(">i4"), score.astype(">f4")]
        if bought_places:
            columns.append(bought_of_states(state, bought_places).astype(">i4"))
        return columns

    async def write(self, requests: Requests) -> None:
        """Upsert the rows of each request. Raises StoreError."""
        await asyncio.gather(*map(self._session.write_batch, requests))

    async def repair(
        self, rows: Rows, state: NDArray[np.float32], representation: NDArray[np.float32], now_ms: int
    ) -> int:
        """Replace the stored rows of n users at the same positions, and return how many rows were written.

        A row stays whose position has no write timestamp left. state: (n, S) float32, representation: (n, D) float32.
        Raises StoreError.
        """
        written = await self._written_us(rows.user_id)
        of_rows = np.array([written.get(user_id, 0) for user_id in rows.user_id], np.int64)
        timestamp, is_left = cql_schema.repair_timestamps(self._view.epoch, rows.offset, of_rows)
        left = np.flatnonzero(is_left)
        await self.write(self._encode(rows.select(left), state[left], representation[left], timestamp[left], now_ms))
        return len(left)

    async def _written_us(self, user_ids: Sequence[str]) -> dict[str, int]:
        """The highest write timestamp of each stored row of these users."""
        of_items = cql_schema.item_columns(self._manifest.recent_places, self._manifest.bought_places)
        names = [name for name in (*_COLUMNS, *of_items) if name not in ("user_id", "bundle_id")]
        times = ", ".join(f"WRITETIME({name})" for name in names)
        statement = await asyncio.to_thread(
            self._session.prepare,
            f"SELECT user_id, {times} FROM {self._table} WHERE user_id IN ? AND bundle_id = ?",
        )
        rows = await self._rows_of(statement, user_ids)
        return {user_id: max((time for time in of_row if time is not None), default=0) for user_id, *of_row in rows}

    async def erase(self, erased: Sequence[Erased], generation_id: int) -> None:
        """Delete this bundle's rows of these users. Raises StoreError.

        Rows of other bundles stay. The worker of another bundle may not have reached the erasure, and needs the history
        of the user up to the erasure.
        """
        epoch = self._view.epoch
        await self._erasures.add(erased, epoch)
        await asyncio.gather(
            *(
                self._session.request(
                    self._delete,
                    (cql_schema.write_timestamp(epoch, one.offset, generation_id), one.user_id, self._bundle_id),
                )
                for one in erased
            )
        )
