"""A TCP proxy that can be cut: connections then stay open, and nothing passes any more, as behind a broken network."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from types import TracebackType

CHUNK_BYTES = 64 * 1024


class CutProxy(threading.Thread):
    """Forwards connections from one address to another while its block lasts."""

    def __init__(self, host: str, port: int, to_host: str, to_port: int) -> None:
        super().__init__(name=f"proxy-{host}:{port}", daemon=True)
        self.port = port
        self._from, self._to = (host, port), (to_host, to_port)
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._listens: Future[None] = Future()
        self._ended = asyncio.Event()

    def __enter__(self) -> "CutProxy":
        self.start()
        self._listens.result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self.join()

    def cut(self) -> None:
        """Let nothing pass. New connections are taken and hear nothing."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def mend(self) -> None:
        """Let everything pass that has waited, and what comes."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            if not self._listens.done():
                self._listens.set_exception(error)
            raise

    async def _serve(self) -> None:
        self._passes.set()
        server = await asyncio.start_server(self._forward, *self._from)
        self._listens.set_result(None)
        await self._ended.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            await self._passes.wait()
            first = await self._first_bytes(reader, writer)
            to_reader, to_writer = await asyncio.open_connection(*self._to)
            with contextlib.closing(to_writer):
                to_writer.write(first)
                ways = [self._pump(reader, to_writer), self._pump(to_reader, writer)]
                tasks = [asyncio.ensure_future(way) for way in ways]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()

    async def _first_bytes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """What is read before the connection passes. Raises OSError where the connection is not to pass."""
        return b""

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
            await self._passes.wait()  # the end of a connection does not pass either
