"""Brokers that keep their connections open and answer nothing: a client of aiokafka turns to the others soon.

A process that is frozen, a machine without power and a broken network close no connection. aiokafka waits for each
answer as long as for a rebalance, 40 s and more. Then aiokafka may ask the silent broker again, also for the new
leaders of the silent broker's partitions. Here, two things differ (docs/decisions.md#silent-brokers):

- **Silence.** A connection on which nothing arrives for SILENCE_S while an answer is due is closed, and the request
  fails as after aiokafka's own time limit. A long answer that still arrives is no silence. The answer to a request to
  join a group is not due, because the broker gives that answer when all members have joined.
- **The next broker.** A broker that was silent is not asked again for AVOIDED_S, by no client of this process. So the
  next request for metadata goes to another broker. A request that only the silent broker could answer fails at once and
  is tried again later.

Every request that aiokafka repeats is safe to repeat: producers are idempotent, and commits, reads and memberships name
what they change.
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Any

import aiokafka.conn
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaProtocol
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest

from streams.config.logins.aiokafka_sessions import SessionConnection

SILENCE_S = 4.0
AVOIDED_S = 3.0
WAITS_FOR_MEMBERS = (JoinGroupRequest.API_KEY, SyncGroupRequest.API_KEY)

_avoided: dict[tuple[str, int], float] = {}  # address of a broker -> by time.monotonic(), until when it is not asked


class HeardProtocol(AIOKafkaProtocol):  # type: ignore[misc]  # the package has no types
    """Notes when something arrived."""

    heard_s = 0.0  # by time.monotonic()

    def data_received(self, data: bytes) -> None:
        self.heard_s = monotonic()
        super().data_received(data)


class WatchedConnection(SessionConnection):
    """A connection whose requests fail when the broker is silent."""

    _request_timeout: float

    async def connect(self) -> Any:
        self._answer_limit_s, self._request_timeout = self._request_timeout, min(SILENCE_S, self._request_timeout)
        try:
            return await super().connect()
        except TimeoutError:
            self._avoid()
            raise

    async def _do_version_lookup(self) -> None:
        """The first request. The limit of the network's answer has held until here."""
        self._request_timeout = self._answer_limit_s
        await super()._do_version_lookup()

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:
        answer: Awaitable[Any] = super().send(request, expect_response)
        return self._heard(answer) if expect_response else answer

    async def _heard(self, answer: Awaitable[Any]) -> Any:
        """Await the answer. Raises TimeoutError when the broker is silent."""
        sent_s, task = monotonic(), asyncio.ensure_future(answer)
        try:
            while True:
                silent_s = monotonic() - max(sent_s, self._heard_s())
                await asyncio.wait({task}, timeout=max(0.0, SILENCE_S - silent_s))
                if task.done():
                    return task.result()
                if self._waits_for_members():
                    sent_s = monotonic()
                elif monotonic() - max(sent_s, self._heard_s()) >= SILENCE_S:
                    self._avoid()
                    raise TimeoutError(f"broker {self._host}:{self._port} was silent for {SILENCE_S:.0f} s")
        finally:
            task.cancel()

    def _avoid(self) -> None:
        _avoided[(self._host, self._port)] = monotonic() + AVOIDED_S

    def _heard_s(self) -> float:
        return 0.0 if self._protocol is None else self._protocol.heard_s

    def _waits_for_members(self) -> bool:
        return any(getattr(request, "API_KEY", None) in WAITS_FOR_MEMBERS for _, request, _ in self._requests)


def mend() -> None:
    """Let every connection of aiokafka be watched, and let its clients avoid silent brokers."""
    aiokafka.conn.AIOKafkaConnection = WatchedConnection
    aiokafka.conn.AIOKafkaProtocol = HeardProtocol
    get_conn = AIOKafkaClient._get_conn

    async def get_conn_of_a_speaking_broker(self: AIOKafkaClient, node_id: Any, **options: Any) -> Any:
        broker = self.cluster.broker_metadata(node_id)
        if broker is not None and monotonic() < _avoided.get((broker.host, broker.port), 0.0):
            return None
        return await get_conn(self, node_id, **options)

    AIOKafkaClient._get_conn = get_conn_of_a_speaking_broker
