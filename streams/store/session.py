"""One session to Cassandra: connect, execute, and await requests until Cassandra confirms them."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from cassandra import DriverException, OperationTimedOut, RequestExecutionException, WriteTimeout
from cassandra.cluster import NoHostAvailable
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage
from cassandra.query import PreparedStatement, SimpleStatement

from streams.config.errors import StoreError
from streams.config.settings import Settings
from streams.store.protocol.cluster import ASK_ANOTHER_S, REQUEST_TIMEOUT_S, connect, error_text
from streams.store.protocol.encoded_rows import EncodedRows
from streams.store.protocol.node_addresses import nodes_without_connection
from streams.store.rights import could_not_check

logger = logging.getLogger(__name__)

REQUESTS_IN_FLIGHT = 16
# A change of the schema takes longer the more tables a cluster holds.
SCHEMA_TIMEOUT_S = 60.0
# A node waits for a dead replica until gossip has told, which takes longer than a session of the consumer group.
READ_AGAIN_S, READS_AGAIN = 3.0, 2
# The waits between tries of one request while Cassandra is away. They double from the first to the last.
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 5.0

# Several programs that start at once send lightweight transactions for the same row. Cassandra then answers that an
# outcome is unknown, with an error code that the driver does not know (cassandra-driver 3.30.1: ErrorMessage).
# native_protocol_v5.spec of Cassandra 5, section 8: server error, overloaded, bootstrapping, CAS write unknown
RETRIED_CODES = (0x0000, 0x1001, 0x1002, 0x1700)
CONTENTION_WAITS_S = (0.1, 0.2, 0.4, 0.8)

_SCHEMA_CHANGES = ("CREATE", "ALTER", "DROP")
_SAFE_CONDITIONS = (" IF NOT EXISTS", " IF EXISTS")
_FAILURES = (ConnectionException, DriverException, ErrorMessage, NoHostAvailable)


class Session:
    """A connected session. The async methods belong to one event loop at a time."""

    def __init__(self, settings: Settings, ask_another_s: float = ASK_ANOTHER_S) -> None:
        """Connect. Blocks. Raises StoreError, SettingsError.

        ask_another_s: a request that has no answer after this time is sent to another node as well.
        """
        self._address = settings.place_of("cassandra")
        self._cluster, self._session = connect(settings, ask_another_s)
        self._slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        self._loop: asyncio.AbstractEventLoop | None = None  # to which the slots belong
        self.retries = 0  # requests that were sent again

    def close(self) -> None:
        self._cluster.shutdown()

    def has_several_nodes(self) -> bool:
        return len(self._cluster.metadata.all_hosts()) > 1

    def nodes_without_connection(self) -> tuple[list[str], int]:
        """See `streams.store.protocol.node_addresses`."""
        return nodes_without_connection(self._cluster, self._session)

    def execute(self, doing: str, query: Any, parameters: Sequence[Any] | None = None) -> Any:
        """Execute and return all rows. Blocks. Raises StoreError, whose message says that Cassandra failed `doing`.

        A read that has no answer after READ_AGAIN_S is sent again, READS_AGAIN times. A read that Cassandra answers
        slowly then has REQUEST_TIMEOUT_S. A change of the schema has SCHEMA_TIMEOUT_S. A lightweight transaction whose
        outcome is unknown is sent again where only the existence of a row decides: the caller may then hear that a row
        of its own was there.
        """
        is_prepared = isinstance(query, PreparedStatement)
        text = query.query_string if is_prepared else query
        statement = query.bind(parameters or ()) if is_prepared else SimpleStatement(text)
        statement.fetch_size = None  # no pages: see `scan`
        statement.is_idempotent = _may_be_repeated(text)
        values = None if is_prepared else parameters
        try:
            for _ in range(READS_AGAIN if text.startswith("SELECT") else 0):
                with contextlib.suppress(OperationTimedOut):
                    return self._session.execute(statement, values, timeout=READ_AGAIN_S)
            for wait_s in CONTENTION_WAITS_S if text.endswith(_SAFE_CONDITIONS) else ():
                with contextlib.suppress(ConnectionException, WriteTimeout, ErrorMessage):
                    return self._session.execute(statement, values, timeout=REQUEST_TIMEOUT_S)
                time.sleep(random.uniform(wait_s / 2, wait_s))
            timeout_s = SCHEMA_TIMEOUT_S if text.startswith(_SCHEMA_CHANGES) else REQUEST_TIMEOUT_S
            return self._session.execute(statement, values, timeout=timeout_s)
        except _FAILURES as error:
            raise StoreError(f"Cassandra at {self._address} failed to {doing}: {error_text(error)}") from error

    def scan(self, doing: str, query: Any, parameters: Sequence[Any] | None) -> Iterator[Any]:
        """Yield the rows of a large result, read page by page. Blocks. Raises what `execute` raises."""
        if isinstance(query, PreparedStatement):
            query, parameters = query.bind(parameters), None
            # The driver would take the late answer of a second copy for the next page of the result.
            query.is_idempotent = False
        try:
            yield from self._session.execute(query, parameters, timeout=REQUEST_TIMEOUT_S)
        except _FAILURES as error:
            raise StoreError(f"Cassandra at {self._address} failed to {doing}: {error_text(error)}") from error

    def execute_all(self, doing: str, statement: PreparedStatement, parameters: Sequence[Sequence[Any]]) -> None:
        """Execute a statement with each of the parameters, several at a time. Blocks. Raises what `execute` raises."""
        try:
            execute_concurrent_with_args(self._session, statement, parameters, concurrency=REQUESTS_IN_FLIGHT)
        except _FAILURES as error:
            raise StoreError(f"Cassandra at {self._address} failed to {doing}: {error_text(error)}") from error

    def prepare(self, query: str) -> PreparedStatement:
        """Prepare a statement. Blocks. Raises StoreError."""
        try:
            statement = self._session.prepare(query)
            statement.is_idempotent = _may_be_repeated(query)
            return statement
        except _FAILURES as error:
            raise StoreError(f"Cassandra at {self._address} did not prepare {query!r}: {error_text(error)}") from error

    async def request(self, statement: Any, parameters: Sequence[Any] | None = None) -> Any:
        """Send a request, again and again while Cassandra is away or overloaded, or cannot read its roles.

        Returns the confirmed rows. Raises StoreError where Cassandra refuses the request itself, and after `close`.
        """
        if isinstance(statement, str):
            statement = SimpleStatement(statement, is_idempotent=_may_be_repeated(statement))
        return await self._confirmed(lambda: (statement, parameters))

    async def write_batch(self, rows: EncodedRows) -> None:
        """Write encoded rows in one unlogged batch, confirmed. Raises StoreError."""
        await self._confirmed(lambda: (rows.statement(), None))

    async def _confirmed(self, make_request: Callable[[], tuple[Any, Sequence[Any] | None]]) -> Any:
        """make_request: makes statement and parameters. The call comes only when a request may be sent."""
        wait_s = FIRST_RETRY_S
        if self._loop is not asyncio.get_running_loop():  # A command runs one loop after the other.
            self._loop, self._slots = asyncio.get_running_loop(), asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        while not self._session.is_shutdown:
            async with self._slots:
                try:
                    return await driver_answer(self._session.execute_async(*make_request()))
                except (ConnectionException, OperationTimedOut, RequestExecutionException, NoHostAvailable) as error:
                    problem: Exception = error
                except (DriverException, ErrorMessage) as error:
                    if getattr(error, "code", None) not in RETRIED_CODES and not could_not_check(str(error)):
                        raise StoreError(f"Cassandra refused a request: {error_text(error)}") from error
                    problem = error
                self.retries += 1
            log = logger.warning if wait_s >= LAST_RETRY_S else logger.info
            log("Cassandra does not take requests (%s), next try in %.2f s", error_text(problem), wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(LAST_RETRY_S, wait_s * 2)
        raise StoreError("a request to Cassandra came after the connection was closed")


def _may_be_repeated(query: str) -> bool:
    """True for all but lightweight transactions and changes of the schema: what other statements write does not depend
    on what was there.
    """
    return " IF " not in query and not query.startswith(_SCHEMA_CHANGES)


def driver_answer(response: Any) -> asyncio.Future[Any]:
    """The answer to a request, which arrives on the driver's thread, as a future of the running loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(call: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            call(value)

    def end(call: Callable[[Any], None], value: Any) -> None:
        # The driver's future and its timer refer to each other and to the rows. Cleared here, the rows are freed at
        # once, without the cycle collector (docs/decisions.md#futures-of-the-driver).
        response._timer = None
        response.clear_callbacks()
        loop.call_soon_threadsafe(settle, call, value)

    response.add_callbacks(partial(end, future.set_result), partial(end, future.set_exception))
    if response._event.is_set():  # The answer came before the second callback was added, which is still there.
        response.clear_callbacks()
    return future
