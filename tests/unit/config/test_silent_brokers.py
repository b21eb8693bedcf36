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
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import BrokerMetadata

from streams.broker import clients
from streams.config.brokers import silent_brokers

assert clients.make_producer, "the import mends aiokafka"
SILENCE_S = 0.3
VERSIONS = {12: (0, 1)}  # of Heartbeat, by its key

Broker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a coroutine function."""

    def run() -> None:
        asyncio.run(test())

    return run


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_brokers, "SILENCE_S", SILENCE_S)
    monkeypatch.setattr(silent_brokers, "ANSWER_S", SILENCE_S)
    monkeypatch.setattr(silent_brokers, "AGAIN_S", SILENCE_S / 3)
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


async def answer_versions(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the first request, which asks for the versions of all requests."""
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    request = await reader.readexactly(size)
    entries = b"".join(struct.pack(">hhh", key, *span) for key, span in VERSIONS.items())
    answer = request[4:8] + struct.pack(">hi", 0, len(VERSIONS)) + entries
    writer.write(struct.pack(">i", len(answer)) + answer)


@in_a_loop
async def test_a_connection_to_a_silent_broker_fails_soon() -> None:
    async with listening(silent) as port:
        began_s = monotonic()
        with pytest.raises(TimeoutError):
            await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        assert SILENCE_S <= monotonic() - began_s < 3 * SILENCE_S


@in_a_loop
async def test_a_request_to_a_broker_that_falls_silent_fails() -> None:
    falls_silent = asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not falls_silent.is_set():
            await answer_versions(reader, writer)

    async with listening(broker) as port:
        connection = await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        falls_silent.set()
        began_s = monotonic()
        with pytest.raises(TimeoutError, match=f"{port} is silent"):
            await connection.send(HeartbeatRequest("group", 1, "member"))
        assert 2 * SILENCE_S <= monotonic() - began_s < 4 * SILENCE_S
        assert silent_brokers.speaking(["kafka:9092", f"127.0.0.1:{port}"]) == ["kafka:9092"]
        assert silent_brokers.speaking([f"127.0.0.1:{port}"]) == [f"127.0.0.1:{port}"]
        connection.close()


@in_a_loop
async def test_a_broker_that_speaks_again_is_asked_again() -> None:
    speaks = asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speaks.wait()
        await answer_versions(reader, writer)

    async with listening(broker) as port:
        with pytest.raises(TimeoutError):
            await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        await asyncio.sleep(3 * SILENCE_S)
        assert silent_brokers.is_avoided("127.0.0.1", port)
        speaks.set()
        await asyncio.sleep(3 * SILENCE_S)
        assert not silent_brokers.is_avoided("127.0.0.1", port)


@in_a_loop
async def test_a_broker_that_answers_others_may_take_its_time() -> None:
    async with listening(answer_versions) as port:
        connection = await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        beating = asyncio.ensure_future(connection.send(HeartbeatRequest("group", 1, "member")))
        await asyncio.sleep(5 * SILENCE_S)
        assert not beating.done()
        beating.cancel()
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


async def refuse_to_speak_kafka(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection, as a broker does at a limit of connections."""
    writer.close()


@in_a_loop
async def test_a_probe_that_fails_otherwise_is_no_silence() -> None:
    is_full = asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (refuse_to_speak_kafka if is_full.is_set() else answer_versions)(reader, writer)

    async with listening(broker) as port:
        connection = await create_conn("127.0.0.1", port, request_timeout_ms=60_000)
        is_full.set()
        beating = asyncio.ensure_future(connection.send(HeartbeatRequest("group", 1, "member")))
        await asyncio.sleep(5 * SILENCE_S)
        assert not beating.done()
        assert not silent_brokers.is_avoided("127.0.0.1", port)
        beating.cancel()
        connection.close()


@in_a_loop
async def test_requests_that_wait_share_a_probe() -> None:
    connections = 0

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answer_versions(reader, writer)

    async with listening(broker) as port:
        open_ones = [await create_conn("127.0.0.1", port, request_timeout_ms=60_000) for _ in range(8)]
        beating = [asyncio.ensure_future(one.send(HeartbeatRequest("group", 1, "member"))) for one in open_ones]
        await asyncio.sleep(1.5 * SILENCE_S)
        assert len(open_ones) < connections < 2 * len(open_ones)
        for task, one in zip(beating, open_ones, strict=True):
            task.cancel()
            one.close()


def test_an_address_of_ipv6_has_brackets_in_the_setting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(silent_brokers._avoided, ("::1", 9092), monotonic() + 60)
    assert silent_brokers.speaking(["[::1]:9092", " b:9092"]) == [" b:9092"]
