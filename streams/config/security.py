"""Who a client is and whom it trusts: settings into the arguments of the client libraries, and what went wrong."""

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.config.errors import SettingsError
from streams.config.settings import PREFIX, Settings, addresses

SCRAM = "SCRAM-SHA-512"
HANDSHAKE_LIMIT_S = 2.0
LOGIN_LIMIT_MS = 5_000
REFUSALS = (SaslAuthenticationFailed, UnsupportedSaslMechanismError)


def broker_arguments(settings: Settings) -> dict[str, Any]:
    """Where the brokers are and how to log in: keyword arguments of both aiokafka and kafka-python.

    Raises SettingsError for a CA file that cannot be used.
    """
    context = tls_context(settings, "broker")
    protocol = "PLAINTEXT" if context is None else "SSL"
    arguments: dict[str, Any] = {"bootstrap_servers": settings.broker.split(","), "ssl_context": context}
    if settings.broker_user:
        protocol = "SASL_PLAINTEXT" if context is None else "SASL_SSL"
        arguments["sasl_mechanism"] = SCRAM
        arguments["sasl_plain_username"] = settings.broker_user
        arguments["sasl_plain_password"] = settings.broker_password
    return {**arguments, "security_protocol": protocol}


def tls_context(settings: Settings, service: str) -> ssl.SSLContext | None:
    """A context that trusts the service's CA alone and checks host names; None where no CA is set.

    Raises SettingsError for a CA file that cannot be used.
    """
    file = getattr(settings, f"{service}_ca")
    if not file:
        return None
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{_named(service, 'ca')} = {file!r} cannot be used: {error}; name the PEM file of the authority that "
            "signed the server's certificate"
        ) from None


def check_broker_login(settings: Settings) -> None:
    """Raises SettingsError where a broker is there and does not let this client in. Blocking.

    The client libraries try again and again instead, and at best log why.
    """
    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
        problem = thread.submit(asyncio.run, _log_in(settings)).result()
    if problem is None:
        return
    check_tls(settings, "broker")
    if isinstance(problem, REFUSALS):
        raise refused_login(settings, "broker", problem)
    if not settings.broker_user and isinstance(problem, KafkaConnectionError):
        raise refused_login(settings, "broker", "it closed the connection")


async def _log_in(settings: Settings) -> BaseException | None:
    """Log in to the brokers one after the other; the last one's answer where none lets us in."""
    arguments = broker_arguments(settings)
    del arguments["bootstrap_servers"]
    problem: BaseException | None = None
    for host, port in addresses("broker", settings.broker):
        try:
            connection = await create_conn(host, port, request_timeout_ms=LOGIN_LIMIT_MS, **arguments)
        except (OSError, KafkaError) as error:
            problem = error
            if isinstance(error, REFUSALS):
                return problem  # the others know the same users
            continue
        try:
            await connection.send(MetadataRequest([]))
            return None
        except KafkaError as error:
            problem = error
        finally:
            connection.close()
    return problem


def check_tls(settings: Settings, service: str) -> None:
    """After a failed connection: raises SettingsError where one side speaks TLS and the other not, or distrusts it."""
    context = tls_context(settings, service)
    for host, port in addresses(service, getattr(settings, service)):
        at = f"{service} {host}:{port}"
        if context is None:
            if _handshake(host, port, _trusting_anyone()) is None:
                raise SettingsError(f"{at} speaks TLS: set {_named(service, 'ca')} to the PEM file of its authority")
            continue
        fault = _handshake(host, port, context)
        if isinstance(fault, ssl.SSLCertVerificationError):
            raise SettingsError(
                f"the certificate of {at} is not to be trusted: {fault.verify_message}; look at "
                f"{_named(service, 'ca')} = {getattr(settings, f'{service}_ca')!r}"
            )
        if isinstance(fault, ssl.SSLError | ConnectionResetError):  # Kafka just closes what it takes for too large
            raise SettingsError(
                f"{at} does not speak TLS ({fault}): look at its port, or leave out {_named(service, 'ca')}"
            )


def refused_login(settings: Settings, service: str, problem: object) -> SettingsError:
    """The error for a server that refuses the user, or asks for one where none is set."""
    user = getattr(settings, f"{service}_user")
    look_at = f"look at {_named(service, 'user')} and {_named(service, 'password')}"
    return SettingsError(
        f"{service} at {getattr(settings, service)} refused {f'user {user!r}' if user else 'a client without a user'}: "
        f"{problem}; {look_at}"
    )


def _handshake(host: str, port: int, context: ssl.SSLContext) -> OSError | None:
    """What a TLS handshake failed with; None where it did not."""
    try:
        with (
            socket.create_connection((host, port), timeout=HANDSHAKE_LIMIT_S) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return None
    except OSError as error:
        return error


def _trusting_anyone() -> ssl.SSLContext:
    """For the question whether a port speaks TLS at all; nothing is sent over it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _named(service: str, what: str) -> str:
    return f"{service}_{what} ({PREFIX}{service.upper()}_{what.upper()})"
