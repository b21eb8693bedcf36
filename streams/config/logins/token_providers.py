"""A token as both client libraries ask for it: at each login, and at each renewal of a login."""

import asyncio
from functools import lru_cache

from aiokafka.abc import AbstractTokenProvider as AiokafkaProvider
from aiokafka.errors import KafkaConnectionError as AiokafkaConnectionError
from kafka.errors import KafkaConnectionError
from kafka.net.sasl.oauth import AbstractTokenProvider as KafkaPythonProvider

from streams.config.errors import ThalwegError
from streams.config.logins import aws_msk_iam, oidc
from streams.config.logins.tokens import RenewedToken
from streams.config.settings import Settings


@lru_cache
def broker_token(settings: Settings) -> RenewedToken:
    """The token of this login. All clients of a process share the token and its renewal."""
    fetch = aws_msk_iam.fetch_token if settings.broker_mechanism == "AWS_MSK_IAM" else oidc.fetch_token
    return RenewedToken(lambda: fetch(settings))


def token_extensions(settings: Settings) -> dict[str, str]:
    """What is sent beside the token, by name (RFC 7628, section 3.1)."""
    pairs = (pair.partition("=") for pair in (settings.broker_token_extensions or "").split(",") if pair)
    return {name.strip(): value.strip() for name, _, value in pairs}


class AiokafkaTokens(AiokafkaProvider):
    """aiokafka's hook. A missing token is a connection that failed, which aiokafka tries again."""

    def __init__(self, settings: Settings) -> None:
        self._token = broker_token(settings)
        self._extensions = token_extensions(settings)

    async def token(self) -> str:
        try:
            return (await asyncio.to_thread(self._token.current)).text
        except ThalwegError as error:
            raise AiokafkaConnectionError(str(error)) from error

    def extensions(self) -> dict[str, str]:
        return self._extensions


class KafkaPythonTokens(KafkaPythonProvider):
    """kafka-python's hook. The hook blocks the client's thread where no token is at hand."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._token = broker_token(settings)
        self._extensions = token_extensions(settings)

    def token(self) -> str:
        try:
            return self._token.current().text
        except ThalwegError as error:
            raise KafkaConnectionError(str(error)) from error

    def extensions(self) -> dict[str, str]:
        return self._extensions
