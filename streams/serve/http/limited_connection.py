"""uvicorn's connections with limits of time and size for what a client sends.

uvicorn itself closes a connection that is idle after an answer. A client that sends nothing, or a part of a request,
would keep a connection open for any time, and a head without an end would fill the memory.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
REQUEST_WITHIN_S = 30.0  # from the first byte to the last one; a new connection has as long for its first request


class LimitedConnection(HttpToolsProtocol):
    """Closes a connection whose request does not arrive in time.

    The answer to a head that is not complete after MOST_HEAD_BYTES is 400.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._is_whole = False  # whether the last request has arrived
        self._is_in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_whole or self.transport.is_closing():
            return
        self._begin_deadline()
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.send_400_response(f"The head of a request has at most {MOST_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        self._is_whole, self._is_in_head, self._head_bytes = False, True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_whole = True
        self._end_deadline()
        super().on_message_complete()

    def _begin_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_WITHIN_S, self.transport.close)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
