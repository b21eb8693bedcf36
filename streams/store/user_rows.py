"""The representation store: rows of users in Cassandra, read in bulk, written in unlogged batches, confirmed.

What is guaranteed: `write` and `erase` return after every row is acknowledged at LOCAL_QUORUM. What is not: other rows
of a failed call may be stored; a repetition with the same source position changes nothing.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from typing import Any, ClassVar, NamedTuple

import numpy as np
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    OperationTimedOut,
    RequestExecutionException,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.cqltypes import BytesType, VectorType
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.protocol import ProtocolHandler, ResultMessage
from cassandra.query import BatchStatement, BatchType, PreparedStatement, tuple_factory
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.config.connection_faults import check_tls, refused_login
from streams.config.errors import StoreError
from streams.config.security import tls_context
from streams.config.settings import Settings, addresses
from streams.engine.arena import NO_OFFSET, StoredUser
from streams.engine.epochs import Epoch, Reading
from streams.engine.planning.rows import Rows
from streams.engine.state_cell import cells, decode_state, encode_states, owner_crc
from streams.store import cql_schema
from streams.store.batching import ROW_OVERHEAD_BYTES, cut, row_bytes, rows_per_request

logger = logging.getLogger(__name__)

USERS_PER_READ = 100  # keys of one IN: a coordinator fans out that many reads at once
BATCHES_IN_FLIGHT = 16
REQUEST_TIMEOUT_S = 10.0
RECONNECT_S = 1.0
# Waits between tries of one request while Cassandra is away: from soon enough not to be noticed to gentle.
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 5.0

_Result: Any = ProtocolHandler.message_types_by_opcode[ResultMessage.opcode]  # the compiled parser where there is one
_BIGINT = struct.Struct(">q")

Values = Sequence[bytes | None]  # of a row, one for each marker of its statement


class DamagedRow(NamedTuple):
    """A stored row that cannot be used, and why."""

    user_id: str
    why: str


class Store:
    """One session to Cassandra for one bundle's rows."""

    def __init__(self, settings: Settings, bundle: Bundle) -> None:
        self._settings = settings
        self._bundle = bundle
        self.width = bundle.manifest.representation_width
        self._table = f"{settings.keyspace}.{cql_schema.representations_table(self.width)}"
        self._bundle_key = bundle.bundle_id.encode()
        self._row_bytes = row_bytes(bundle.manifest)
        self._cluster: Cluster | None = None
        self._slots = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        self.reading = Reading(0, frozenset([0]))  # set by whoever knows the topic
        self.retries = 0

    def connect(self) -> None:
        """Connect, create what is missing, prepare. Blocking. Raises StoreError."""
        self._cluster, self._session = connect(self._settings)
        try:
            for statement in cql_schema.statements(self._settings.keyspace, self._settings.replication, self.width):
                self._session.execute(statement)
            self._prepare()
        except (DriverException, NoHostAvailable) as error:
            raise StoreError(f"Cassandra at {self._settings.cassandra} refused the set-up: {error}") from error

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.shutdown()

    def announce(self) -> None:
        """Have readers find the bundle. Blocking. Raises StoreError.

        Its item vectors follow, and then it may be the active one: see `streams.registration`.
        """
        keyspace, bundle = self._settings.keyspace, self._bundle
        announce = f"INSERT INTO {keyspace}.bundles (bundle_id, width, items, first_served_at) VALUES (%s, %s, %s, %s)"
        row = [bundle.bundle_id, self.width, bundle.manifest.items, datetime.now(UTC)]
        try:
            self._session.execute(f"{announce} IF NOT EXISTS", row)
        except (DriverException, NoHostAvailable) as error:
            raise StoreError(f"Cassandra did not take bundle {bundle.bundle_id}: {error}") from error

    def epochs(self, topic: str) -> list[Epoch]:
        """All epochs of the topic's name, in order. Blocking. Raises StoreError."""
        query = f"SELECT epoch, topic_id, partitions, barrier FROM {self._settings.keyspace}.sources WHERE topic = %s"
        try:
            rows = self._session.execute(query, [topic])
        except (DriverException, NoHostAvailable) as error:
            raise StoreError(f"Cassandra did not say which epochs topic {topic} has: {error}") from error
        return [Epoch(number, topic_id, count, tuple(barrier or ())) for number, topic_id, count, barrier in rows]

    def begin_epoch(self, topic: str, epoch: Epoch) -> None:
        """Register the epoch, where no other worker has done so meanwhile. Blocking. Raises StoreError."""
        statement = (
            f"INSERT INTO {self._settings.keyspace}.sources (topic, epoch, topic_id, partitions, barrier) "
            "VALUES (%s, %s, %s, %s, %s) IF NOT EXISTS"
        )
        try:
            self._session.execute(statement, [topic, epoch.number, *epoch[1:3], list(epoch.barrier)])
        except (DriverException, NoHostAvailable) as error:
            raise StoreError(f"Cassandra did not take epoch {epoch.number} of topic {topic}: {error}") from error

    def _prepare(self) -> None:
        session, table = self._session, self._table
        self._insert = session.prepare(
            f"INSERT INTO {table} (user_id, bundle_id, representation, steps, last_time_ms, last_item, "
            "written_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        )
        self._select = session.prepare(
            f"SELECT user_id, representation, state FROM {table} WHERE user_id IN ? AND bundle_id = ?"
        )
        self._scan = session.prepare(
            f"SELECT user_id, representation, state FROM {table} WHERE bundle_id = ? ALLOW FILTERING"
        )
        keyspace = self._settings.keyspace
        items = f"{keyspace}.{cql_schema.item_vectors_table(self.width)}"
        self._insert_item = session.prepare(f"INSERT INTO {items} (bundle_id, item_id, vector) VALUES (?, ?, ?)")
        marks = f"{keyspace}.item_vectors_stored"
        self._mark_items = session.prepare(f"INSERT INTO {marks} (bundle_id, items) VALUES (?, ?)")
        self._marked_items = session.prepare(f"SELECT items FROM {marks} WHERE bundle_id = ? LIMIT 1")
        self._activate = session.prepare(
            f"INSERT INTO {keyspace}.active_bundle (name, bundle_id) VALUES ('active', ?) IF NOT EXISTS"
        )
        self._tables = session.prepare("SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?")

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser | DamagedRow]:
        """The stored rows of these users; users without one are left out."""
        parts = [user_ids[i : i + USERS_PER_READ] for i in range(0, len(user_ids), USERS_PER_READ)]
        results = await asyncio.gather(*(self._confirmed(partial(self._read_part, part)) for part in parts))
        return [self._stored_user(row) for rows in results for row in rows or ()]

    def scan(self) -> Iterator[StoredUser | DamagedRow]:
        """Every stored row of this bundle. Blocking; for `verify`, not for the path of an event."""
        for row in self._session.execute(self._scan, (self._bundle.bundle_id,)):
            yield self._stored_user(row)

    def _read_part(self, user_ids: Sequence[str]) -> Any:
        return self._session.execute_async(self._select, (user_ids, self._bundle.bundle_id))

    def _stored_user(self, row: tuple[Any, ...]) -> StoredUser | DamagedRow:
        user_id, representation, cell = row
        try:
            if representation is None or cell is None:
                raise ValueError("a cell of it is empty")
            owner = owner_crc(self._bundle_key, user_id.encode())
            state = decode_state(owner, representation, cell, self._bundle.manifest.state_width)
        except ValueError as error:
            return DamagedRow(user_id, f"the stored row of user {user_id!r} in {self._table} is damaged: {error}")
        return StoredUser(
            user_id=user_id,
            partition=state.partition,
            is_current=state.epoch >= self.reading.epoch,
            offset=state.offset if state.epoch in self.reading.comparable else NO_OFFSET,
            steps=state.steps,
            last_time_ms=state.last_time_ms,
            last_item=state.last_item,
            recent=list(state.recent),
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
    ) -> list[Sequence[Values]]:
        """n rows as requests for `write`; state: (n, S), representation: (n, D), in the same order.

        On any thread.
        """
        n, epoch = len(rows), self.reading.epoch
        keys = [user_id.encode() for user_id in rows.user_id]
        vectors = cells(representation.astype(">f4"))
        items = [None if item is None else item.encode() for item in rows.last_item.tolist()]
        columns = (
            keys,
            repeat(self._bundle_key, n),
            vectors,
            cells(rows.steps.astype(">i8")),
            cells(rows.last_time_ms.astype(">i8")),
            items,
            repeat(_BIGINT.pack(now_ms), n),
            encode_states(self._bundle_key, keys, vectors, epoch, rows, items, state),
            cells(cql_schema.write_timestamp(epoch, rows.offset, generation_id).astype(">i8")),
        )
        names = [len(key) + 2 * len(item or b"") for key, item in zip(keys, items, strict=True)]
        return list(cut(list(zip(*columns, strict=True)), (self._row_bytes + size for size in names)))

    async def write(self, requests: Sequence[Sequence[Values]]) -> None:
        """Upsert the rows of each."""
        sends = [partial(self._write_part, self._insert, rows) for rows in requests]
        await asyncio.gather(*map(self._confirmed, sends))

    def _write_part(self, insert: PreparedStatement, rows: Sequence[Values]) -> Any:
        return self._session.execute_async(_batch(insert, rows))

    async def erase(self, erased: Sequence[tuple[str, int]], generation_id: int) -> None:
        """Delete these users' rows of every bundle; (user, offset of the erasure record)."""
        epoch, execute, keyspace = self.reading.epoch, self._session.execute_async, self._settings.keyspace
        # Asked each time: a user's rows are in whatever table a worker of another bundle has made meanwhile.
        names = await self._confirmed(partial(execute, self._tables, [keyspace]))
        tables = [f"{keyspace}.{name}" for (name,) in names if cql_schema.is_representations_table(name)]
        values = [(cql_schema.write_timestamp(epoch, offset, generation_id), user) for user, offset in erased]
        deletes = [f"DELETE FROM {table} USING TIMESTAMP %s WHERE user_id = %s" for table in tables]
        sends = [partial(execute, delete, value) for value in values for delete in deletes]
        await asyncio.gather(*(self._confirmed(send) for send in sends))

    async def item_vectors_stored(self) -> int:
        """How many items of the bundle, from the first one on, are known to have their vectors stored."""
        rows = await self._confirmed(partial(self._session.execute_async, self._marked_items, [self._bundle.bundle_id]))
        return max((items for (items,) in rows or ()), default=0)

    async def write_item_vectors(self, start: int, end: int) -> None:
        """Store the vectors of the items at the positions `start` to `end` of the vocabulary.

        One batch in flight: fast where there are no events, and the slower the busier Cassandra is with theirs. On two
        cores with other work on them, a full worker applied 17,500 events/s beside 8,200 vectors/s, where it applied
        27,700 by itself; with four in flight it was 11,500 beside 14,600.
        """
        items, vectors = self._bundle.vocabulary.items, self._bundle.item_vectors[1:]  # row 0: the unknown item
        size = rows_per_request(4 * self.width + ROW_OVERHEAD_BYTES)
        for at in range(start, end, size):
            part = slice(at, min(end, at + size))
            named = zip(items[part], vectors[part].astype(">f4"), strict=True)
            rows = [[self._bundle_key, item.encode(), vector.tobytes()] for item, vector in named]
            await self._confirmed(partial(self._write_part, self._insert_item, rows))

    async def mark_item_vectors(self, items: int) -> None:
        """Say that the first `items` have their vectors stored. A mark that came late takes nothing back."""
        mark = (self._bundle.bundle_id, items)
        await self._confirmed(partial(self._session.execute_async, self._mark_items, mark))

    async def activate(self) -> None:
        """Have readers find the bundle active, where no other is."""
        await self._confirmed(partial(self._session.execute_async, self._activate, [self._bundle.bundle_id]))

    async def _confirmed(self, send: Callable[[], Any]) -> Any:
        """Send a request and await its answer, again and again while Cassandra is away or overloaded."""
        wait_s = FIRST_RETRY_S
        while True:
            async with self._slots:
                try:
                    return await _answer(send())
                except (OperationTimedOut, RequestExecutionException, NoHostAvailable) as error:
                    self.retries += 1
                    problem = error
                except DriverException as error:
                    raise StoreError(f"Cassandra refused a request: {error}") from error
            log = logger.warning if wait_s >= LAST_RETRY_S else logger.info
            log("Cassandra does not take requests (%s), next try in %.2f s", problem, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(LAST_RETRY_S, wait_s * 2)


def connect(settings: Settings) -> tuple[Cluster, Session]:
    """A cluster and a session with no keyspace chosen. Blocking. Raises StoreError, SettingsError."""
    hosts = addresses("cassandra", settings.cassandra)
    user = settings.cassandra_user
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=REQUEST_TIMEOUT_S,
        row_factory=tuple_factory,
    )
    cluster = Cluster(
        [host for host, _ in hosts],
        # Without it a request waits for the acknowledgement of the one before: 40 ms where the other side delays it.
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        port=hosts[0][1],
        auth_provider=PlainTextAuthProvider(user, settings.cassandra_password) if user else None,
        ssl_context=tls_context(settings, "cassandra"),
        protocol_version=5,
        # The driver's own policy doubles its waits up to 10 minutes: after a minute's outage it came back two later.
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        compression=False,
    )
    driver_log = logging.getLogger("cassandra.cluster")
    level = driver_log.level
    driver_log.setLevel(logging.CRITICAL)  # it would print two tracebacks of what our error says
    try:
        session = cluster.connect()
    except (NoHostAvailable, DriverException, OSError) as error:
        cluster.shutdown()
        for problem in getattr(error, "errors", {}).values():
            if isinstance(problem, AuthenticationFailed):
                raise refused_login(settings, "cassandra", problem) from None
        check_tls(settings, "cassandra")
        raise StoreError(
            f"no Cassandra answers at {settings.cassandra}: {error}; "
            "start one with `thalweg up` or set THALWEG_CASSANDRA"
        ) from error
    finally:
        driver_log.setLevel(level)
    session.client_protocol_handler = _RawVectors
    return cluster, session


def _batch(prepared: PreparedStatement, rows: Sequence[Values]) -> BatchStatement:
    """An unlogged batch of a prepared statement over already encoded values.

    Binding values through the driver costs more than all else of a write (it makes a list of Python floats of a
    vector and encodes each); the values are packed by us and put where `BatchStatement.add` would put them.
    """
    batch = BatchStatement(BatchType.UNLOGGED)
    query_id = prepared.query_id
    batch._statements_and_parameters.extend((True, query_id, row) for row in rows)
    batch.routing_key = rows[0][0]
    batch.keyspace = prepared.keyspace
    return batch


class _ResultWithRawVectors(_Result):
    """Leaves a vector as the bytes on the wire: numpy reads them at once, the driver would make a list of floats."""

    column_metadata: Any

    def recv_results_metadata(self, f: Any, user_type_map: Any) -> None:
        super().recv_results_metadata(f, user_type_map)
        if self.column_metadata:
            self.column_metadata = [
                (*column[:3], BytesType if issubclass(column[3], VectorType) else column[3])
                for column in self.column_metadata
            ]


class _RawVectors(ProtocolHandler):
    message_types_by_opcode: ClassVar[dict[int, Any]] = {
        **ProtocolHandler.message_types_by_opcode,
        _Result.opcode: _ResultWithRawVectors,
    }


def _answer(response: Any) -> asyncio.Future[Any]:
    """The driver's answer, which arrives on its own thread, as a future of the running loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(call: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            call(value)

    def end(call: Callable[[Any], None], value: Any) -> None:
        # The driver's future and its timer hold each other, and the rows: left to the cycle collector, those of a
        # million containers came together, and a collection stood still for 0.7 s.
        response._timer = None
        response.clear_callbacks()
        loop.call_soon_threadsafe(settle, call, value)

    response.add_callbacks(partial(end, future.set_result), partial(end, future.set_exception))
    if response._event.is_set():  # the answer was there first: the second of them was added after the clearing
        response.clear_callbacks()
    return future
