"""What aiokafka's logins lack: the end of a session, the reason of a refused token, and logs without secrets.

- **The end of a session.** A broker may end a login after a time (KIP-368), at the latest with the token. aiokafka does
  not log in again, and the broker closes the connection at the next request, which fails. Here, a connection is closed
  before that time, between two requests, and the next request opens a new one with a new token.
- **A refused token.** The broker tells the reason in its first answer, and refuses after a second message (RFC 7628,
  section 3.2.3). aiokafka takes the first answer for a success.
- **Logs.** Both libraries log every request at level DEBUG, also the one with the password or the token.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any

import aiokafka.conn
from aiokafka.conn import AIOKafkaConnection, CloseReason, OAuthAuthenticator
from aiokafka.protocol import admin as aiokafka_messages
from kafka.protocol import sasl as kafka_python_messages

RENEWED_AT = 0.9  # share of a session after which the connection is closed; above the share of a token's life
FIRST_ANSWER_TO_A_REFUSAL = b"\x01"


class SessionConnection(AIOKafkaConnection):
    """A connection that ends itself before the broker would, at a moment at which no request is under way."""

    _ends_s: float | None = None  # by time.monotonic()

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:
        answer: Awaitable[Any] = super().send(request, expect_response)
        is_login = isinstance(request, aiokafka_messages.SaslAuthenticateRequest)
        return self._note_lifetime(answer) if is_login else answer

    async def _note_lifetime(self, answer: Awaitable[Any]) -> Any:
        response = await answer
        lifetime_s = getattr(response, "session_lifetime_ms", 0) / 1000 * RENEWED_AT
        if lifetime_s > 0:
            self._ends_s = time.monotonic() + lifetime_s
            asyncio.get_running_loop().call_later(lifetime_s, self._end_session)
        return response

    def _handle_frame(self, resp: bytes) -> None:
        super()._handle_frame(resp)
        self._end_session()

    def _end_session(self) -> None:
        """Close the connection where its session is over and no request is under way. A later answer tries again."""
        if self._ends_s is not None and time.monotonic() >= self._ends_s and not self._requests:
            self.close(reason=CloseReason.IDLE_DROP)


class RefusableAuthenticator(OAuthAuthenticator):
    """Sends a token, and hears a refusal."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if self._token_sent and payload:
            return FIRST_ANSWER_TO_A_REFUSAL, True  # the broker's answer is an error with the reason
        answer: tuple[bytes, bool] | None = await super().step(payload)
        return answer


def mend() -> None:
    """Let every connection of aiokafka be of the classes above, and hide logins in the logs of both libraries."""
    aiokafka.conn.AIOKafkaConnection = SessionConnection
    aiokafka.conn.OAuthAuthenticator = RefusableAuthenticator
    for messages in (aiokafka_messages, kafka_python_messages):
        for name in ("SaslAuthenticateRequest", "SaslAuthenticateRequest_v0", "SaslAuthenticateRequest_v1"):
            if hasattr(messages, name):
                getattr(messages, name).__repr__ = _hidden
    logging.getLogger("kafka.protocol.parser").setLevel(logging.INFO)  # kafka-python logs every byte here


def _hidden(message: object) -> str:
    return f"{type(message).__name__}(***)"
