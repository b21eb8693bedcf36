"""A broker that keeps its connection open and answers nothing: requests fail soon, and other brokers are asked."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest
from aiokafka.structs import BrokerMetadata

from streams.broker import clients
from streams.config import silent_brokers

assert clients.make_producer, "the import mends aiokafka"
SILENCE_S = 0.3
VERSIONS = {11: (0, 5), 12: (0, 1)}  # of JoinGroup and Heartbeat, by their keys

Broker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a coroutine function."""

    def run() -> None:
        asyncio.run(test())

    return run


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_brokers, "SILENCE_S", SILENCE_S)
    monkeypatch.setattr(silent_brokers, "_avoided", {})


@asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[int]:
    """Listen as a broker does. Yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await broker(reader, writer)
            await reader.read()  # says nothing more, and keeps the connection open
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer nothing."""


async def answer_versions(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause_s: float = 0.0) -> None:
    """Answer the first request, which asks for the versions of all requests, with a pause after each byte."""
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    request = await reader.readexactly(size)
    entries = b"".join(struct.pack(">hhh", key, *span) for key, span in VERSIONS.items())
    answer = request[4:8] + struct.pack(">hi", 0, len(VERSIONS)) + entries
    for byte in struct.pack(">i", len(answer)) + answer:
        writer.write(bytes([byte]))
        await asyncio.sleep(pause_s)


async def answer_versions_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await answer_versions(reader, writer, pause_s=SILENCE_S / 6)


@in_a_loop
async def test_a_connection_to_a_silent_broker_fails_soon() -> None:
    async with listening(silent) as port:
        began_s = monotonic()
        with pytest.raises(TimeoutError):
            await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        assert SILENCE_S <= monotonic() - began_s < 3 * SILENCE_S


@in_a_loop
async def test_a_long_answer_that_still_arrives_is_no_silence() -> None:
    async with listening(answer_versions_slowly) as port:
        began_s = monotonic()
        connection = await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        assert monotonic() - began_s > 2 * SILENCE_S, "the answer took too short to tell"
        connection.close()


@in_a_loop
async def test_a_request_without_an_answer_fails_and_one_to_join_a_group_waits() -> None:
    async with listening(answer_versions) as port:
        connection = await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        with pytest.raises(TimeoutError, match=f"{port} was silent"):
            await connection.send(HeartbeatRequest("group", 1, "member"))
        connection.close()
        connection = await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        joining = asyncio.ensure_future(connection.send(JoinGroupRequest("group", 1, 1, "", "", "consumer", [])))
        await asyncio.sleep(4 * SILENCE_S)
        assert not joining.done()
        joining.cancel()
        connection.close()


@in_a_loop
async def test_a_silent_broker_is_not_asked_again_at_once() -> None:
    async with listening(silent) as port:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}")
        client.cluster._brokers[1] = BrokerMetadata(1, "127.0.0.1", port, None)
        assert not await client.ready(1)
        began_s = monotonic()
        assert not await client.ready(1)
        assert monotonic() - began_s < SILENCE_S / 2, "the broker was asked again"
        await client.close()
