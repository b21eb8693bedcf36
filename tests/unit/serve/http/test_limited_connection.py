"""Connections of clients that send slowly, nothing, or too much, to a real server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from streams.local.process.ports import HOST, free_ports
from streams.serve import server
from streams.serve.http import limited_connection
from streams.serve.http.limited_connection import MOST_HEAD_BYTES

LIMIT_S = 1.0
KEEP_ALIVE_S = 2
ANSWER_S = 1.5  # of a request that takes long to answer
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
END = b"\r\n"

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def slow_application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body of the request, and to /long after ANSWER_S."""
    if scope["type"] != "http":
        return
    body, has_more = b"", scope["method"] == "POST"
    while has_more:
        message = await receive()
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
    if scope["path"] == "/long":
        await asyncio.sleep(ANSWER_S)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> bytes:
    return await reader.read()


def dripping(*parts: bytes, every_s: float = 0.1) -> Client:
    """Sends the parts one after another, and reads what comes meanwhile and after."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        answer = asyncio.create_task(reader.read())
        for part in parts:
            if answer.done():
                break
            writer.write(part)
            await asyncio.sleep(every_s)
        return await answer

    return client


def exchanged(clients: list[Client]) -> list[tuple[bytes, float]]:
    """What each client got from one server, all at once, and after how many seconds the server had closed."""

    async def one(client: Client, port: int) -> tuple[bytes, float]:
        reader, writer = await asyncio.open_connection(HOST, port)
        began_s = time.monotonic()
        try:
            got = await client(reader, writer)
        except ConnectionResetError:
            got = b""
        writer.close()
        return got, time.monotonic() - began_s

    async def main() -> list[tuple[bytes, float]]:
        configuration = server._configuration(slow_application, None, None)
        configuration.host, configuration.port = HOST, free_ports(["http"])["http"]
        configuration.timeout_keep_alive = KEEP_ALIVE_S
        running = uvicorn.Server(configuration)
        task = asyncio.create_task(running.serve())
        for _ in range(1_000):
            if running.started:
                break
            await asyncio.sleep(0.01)
        found = await asyncio.gather(*(one(client, configuration.port) for client in clients))
        running.should_exit = True
        await task
        return found

    return asyncio.run(main())


def test_a_connection_stays_open_only_while_requests_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_connection, "REQUEST_WITHIN_S", LIMIT_S)
    refused = {
        "silent": silent,
        "slow head": dripping(HEAD, *[b"X: y\r\n"] * 60),
        "slow body": dripping(POST, *[b"a"] * 6, every_s=0.5),
        "slow second head": dripping(HEAD + END, HEAD, *[b"X: y\r\n"] * 60),
        "slow head behind another request": dripping(HEAD + END + HEAD, *[b"X: y\r\n"] * 60),
    }
    answered = {
        "slow within the limit": dripping(HEAD, *[b"X: y\r\n"] * 3, END),
        "slow body within the limit": dripping(POST, *[b"a"] * 9, every_s=0.05),
        "a long answer": dripping(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "pauses between requests": dripping(*[HEAD + END] * 3, every_s=LIMIT_S * 0.9),
    }
    found = dict(zip([*refused, *answered], exchanged([*refused.values(), *answered.values()]), strict=True))
    for name in refused:
        got, after_s = found[name]
        assert got.count(b"200 OK") == name.count("second") + name.count("behind"), name
        assert LIMIT_S * 0.9 < after_s < LIMIT_S + 2, name
    for name in answered:
        assert found[name][0].count(b"200 OK") == (3 if "pauses" in name else 1), name
        assert found[name][1] > KEEP_ALIVE_S, f"{name}: the connection stays open for further requests"


def test_a_head_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    line = b"X: " + b"y" * 4_000 + b"\r\n"
    endless_lines = dripping(HEAD, *[line] * 200, every_s=0.001)
    endless_value = dripping(HEAD + b"X: ", *[b"y" * 4_000] * 200, every_s=0.001)
    long = dripping(HEAD, *[line] * (MOST_HEAD_BYTES // 5_000), END, every_s=0.001)
    found = exchanged([endless_lines, endless_value, long])
    for got, _ in found[:2]:
        assert got.startswith(b"HTTP/1.1 400") or got == b"", "a reset may overtake the answer"
    assert any(f"at most {MOST_HEAD_BYTES} bytes".encode() in got for got, _ in found[:2])
    assert found[2][0].startswith(b"HTTP/1.1 200")
