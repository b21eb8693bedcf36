"""Brokers that keep their connections open and answer nothing: a client of aiokafka turns to the others soon.

A process that is frozen, a machine without power and a broken network close no connection. aiokafka waits for each
answer as long as for a rebalance, 40 s and more. Then aiokafka may ask the silent broker again, also for the new
leaders of the silent broker's partitions. Here, two things differ (docs/decisions.md#silent-brokers):

- **Silence.** When nothing has arrived on a connection for SILENCE_S and an answer is due, the broker is asked for its
  versions on a connection of its own. A broker that does not answer that within ANSWER_S is silent: the connection is
  closed, and the request fails as after aiokafka's own time limit. A broker that does answer only waits, for example
  for another broker that has to store a record, or for the members of a group.
- **The next broker.** No client of this process sends a request to a silent broker until the broker speaks again, which
  is looked at every AGAIN_S. So the next request for metadata goes to another broker. A request that only the silent
  broker could answer fails at once and is tried again later.

Every request that aiokafka repeats is safe to repeat: producers are idempotent, and commits, reads and memberships name
what they change.
"""

import asyncio
import errno
from collections.abc import Awaitable, Sequence
from time import monotonic
from typing import Any

import aiokafka.conn
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaProtocol, CloseReason
from aiokafka.errors import KafkaError

from streams.config.logins.aiokafka_sessions import SessionConnection

SILENCE_S = 2.0
ANSWER_S = 2.5
AGAIN_S = 1.0
AVOIDED_S = AGAIN_S + ANSWER_S + 2.0  # the mark of a silent broker outlives the time between two looks
LOOK_FOR_S = 600.0  # A broker may have gone for good. A later request marks the broker again.
PAUSE_S = 0.05  # aiokafka asks for another connection at once
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)  # as silent as a broker without an answer

Place = tuple[asyncio.AbstractEventLoop, str, int]  # the address of a broker, in the loop of the connection

_avoided: dict[tuple[str, int], float] = {}  # address of a broker -> by time.monotonic(), until when it is not asked
_probes: dict[Place, asyncio.Future[bool]] = {}
_looking: dict[Place, asyncio.Future[None]] = {}


class HeardProtocol(AIOKafkaProtocol):  # type: ignore[misc]  # the package has no types
    """Notes when something arrived."""

    heard_s = 0.0  # by time.monotonic()

    def data_received(self, data: bytes) -> None:
        self.heard_s = monotonic()
        super().data_received(data)


class WatchedConnection(SessionConnection):
    """A connection whose requests fail when the broker is silent."""

    _request_timeout: float
    _has_spoken = False
    _is_probe = False

    async def connect(self) -> Any:
        limit_s, self._request_timeout = self._request_timeout, min(ANSWER_S, self._request_timeout)
        self._answer_limit_s = limit_s
        try:
            return await super().connect()
        except TimeoutError:
            if not self._is_probe:
                self._avoid()
            raise

    async def _do_version_lookup(self) -> None:
        """The first request of a connection, which every broker answers at once."""
        await super()._do_version_lookup()
        self._request_timeout = self._answer_limit_s
        self._has_spoken = True
        _avoided.pop((self._host, self._port), None)

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:
        answer: Awaitable[Any] = super().send(request, expect_response)
        return self._heard(answer) if expect_response and self._has_spoken else answer

    async def _heard(self, answer: Awaitable[Any]) -> Any:
        """Await the answer. Raises TimeoutError when the broker is silent."""
        asked_s, task = monotonic(), asyncio.ensure_future(answer)
        try:
            while True:
                silent_s = monotonic() - max(asked_s, 0.0 if self._protocol is None else self._protocol.heard_s)
                if silent_s < SILENCE_S:
                    await asyncio.wait({task}, timeout=SILENCE_S - silent_s)
                elif not await self._speaks() and not task.done():
                    self.close(reason=CloseReason.CONNECTION_TIMEOUT)
                    raise TimeoutError(f"broker {self._host}:{self._port} is silent")
                else:
                    asked_s = monotonic()
                if task.done():
                    return task.result()
        finally:
            task.cancel()

    async def _speaks(self) -> bool:
        """Ask the broker for its versions, which needs no login."""
        if is_avoided(self._host, self._port):
            return False
        if await asyncio.shield(self._probe()):
            return True
        self._avoid()
        return False

    def _probe(self) -> "asyncio.Future[bool]":
        """Whether the broker speaks. All connections of the loop to the broker share a look."""
        place = asyncio.get_running_loop(), self._host, self._port
        if place not in _probes:
            _probes[place] = asyncio.ensure_future(self._answers_a_probe())
            _probes[place].add_done_callback(lambda _: _probes.pop(place, None))
        return _probes[place]

    async def _answers_a_probe(self) -> bool:
        """False for silence alone. An error of the name service, of TLS or of a limit of connections is no silence."""
        probe = WatchedConnection(
            self._host,
            self._port,
            client_id=self._client_id,
            ssl_context=self._ssl_context,
            security_protocol=self._security_protocol.removeprefix("SASL_"),
        )
        probe._is_probe = True
        try:
            async with asyncio.timeout(ANSWER_S):
                await probe.connect()
        except TimeoutError:
            return False
        except (OSError, KafkaError) as error:
            return not (isinstance(error, OSError) and error.errno in UNREACHABLE)
        finally:
            probe.close()
        return True

    def _avoid(self) -> None:
        """Mark the broker as silent until it speaks. One task of each loop looks again and again."""
        _avoided[(self._host, self._port)] = monotonic() + AVOIDED_S
        place = asyncio.get_running_loop(), self._host, self._port
        if place not in _looking:
            _looking[place] = asyncio.ensure_future(self._end_silence())
            _looking[place].add_done_callback(lambda _: _looking.pop(place, None))

    async def _end_silence(self) -> None:
        give_up_at_s = monotonic() + LOOK_FOR_S
        while monotonic() < give_up_at_s:
            await asyncio.sleep(AGAIN_S)
            if await self._answers_a_probe():
                _avoided.pop((self._host, self._port), None)
                return
            _avoided[(self._host, self._port)] = monotonic() + AVOIDED_S


def is_avoided(host: str, port: int) -> bool:
    """True for a broker that was silent a moment ago."""
    return monotonic() < _avoided.get((host, port), 0.0)


def speaking(servers: Sequence[str]) -> list[str]:
    """The `host:port` of the brokers that were not silent a moment ago, or all of them where none is left."""
    found = [server for server in servers if not is_avoided(*_place_of(server))]
    return found or list(servers)


def _place_of(server: str) -> tuple[str, int]:
    """Host and port as aiokafka names them: an address of IPv6 has no brackets."""
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]"), int(port)


def mend() -> None:
    """Let every connection of aiokafka be watched, and let its clients avoid silent brokers."""
    aiokafka.conn.AIOKafkaConnection = WatchedConnection
    aiokafka.conn.AIOKafkaProtocol = HeardProtocol
    get_conn = AIOKafkaClient._get_conn

    async def get_conn_of_a_speaking_broker(self: AIOKafkaClient, node_id: Any, **options: Any) -> Any:
        broker = self.cluster.broker_metadata(node_id)
        if broker is not None and is_avoided(broker.host, broker.port):
            self.force_metadata_update()  # as after a connection that failed: the broker's partitions get new leaders
            await asyncio.sleep(PAUSE_S)
            return None
        return await get_conn(self, node_id, **options)

    AIOKafkaClient._get_conn = get_conn_of_a_speaking_broker
