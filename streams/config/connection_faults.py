"""Why a server does not let a client in: failures of TLS and of authentication become SettingsErrors here.

The client libraries try again and again instead, and at best log the reason. After a failed connection, Thalweg
therefore asks the server itself. All functions block.
"""

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from aiokafka.conn import create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.config.errors import SettingsError
from streams.config.security import broker_arguments, tls_context
from streams.config.settings import Settings, addresses, setting_label

HANDSHAKE_TIMEOUT_S = 2.0
LOGIN_TIMEOUT_MS = 5_000
LOGIN_REFUSALS = (SaslAuthenticationFailed, UnsupportedSaslMechanismError)


def check_broker_login(settings: Settings) -> None:
    """Raises SettingsError when a broker answers and does not let this client in.

    A broker that does not answer is no error here.
    """
    with ThreadPoolExecutor(1) as thread:  # the caller may already run an event loop in its own thread
        fault = thread.submit(asyncio.run, _broker_login_fault(settings)).result()
    if fault is None:
        return
    check_tls(settings, "broker")
    if isinstance(fault, LOGIN_REFUSALS):
        raise refused_login(settings, "broker", fault)
    if not settings.broker_user and isinstance(fault, KafkaConnectionError):
        raise refused_login(settings, "broker", "it closed the connection")


async def _broker_login_fault(settings: Settings) -> BaseException | None:
    """Log in to one broker after the other until one accepts. Returns None then, and the last error otherwise."""
    arguments = broker_arguments(settings)
    del arguments["bootstrap_servers"]
    fault: BaseException | None = None
    for host, port in addresses("broker", settings.broker):
        try:
            connection = await create_conn(host, port, request_timeout_ms=LOGIN_TIMEOUT_MS, **arguments)
        except (OSError, KafkaError) as error:
            fault = error
            if isinstance(error, LOGIN_REFUSALS):
                return fault  # all brokers of a cluster know the same users
            continue
        try:
            await connection.send(MetadataRequest([]))
            return None
        except KafkaError as error:
            fault = error
        finally:
            connection.close()
    return fault


def check_tls(settings: Settings, service: str) -> None:
    """Call this function after a failed connection.

    Raises SettingsError when only one side speaks TLS, or when the client does not trust the server's certificate.
    """
    context = tls_context(settings, service)
    ca = f"{service}_ca"
    for host, port in addresses(service, getattr(settings, service)):
        server = f"{service} {host}:{port}"
        if context is None:
            if _handshake_fault(host, port, _context_without_checks()) is None:
                raise SettingsError(f"{server} speaks TLS: set {setting_label(ca)} to the PEM file of its authority")
            continue
        fault = _handshake_fault(host, port, context)
        if isinstance(fault, ssl.SSLCertVerificationError):
            raise SettingsError(
                f"the certificate of {server} is not to be trusted: {fault.verify_message}; look at "
                f"{setting_label(ca)} = {getattr(settings, ca)!r}"
            )
        # A Kafka port without TLS reads the handshake as the size of a huge request and closes the connection.
        if isinstance(fault, ssl.SSLError | ConnectionResetError):
            raise SettingsError(
                f"{server} does not speak TLS ({fault}): look at its port, or leave out {setting_label(ca)}"
            )


def refused_login(settings: Settings, service: str, reason: object) -> SettingsError:
    """The error for a server that refuses the user, or that requires a user when none is set."""
    user = getattr(settings, f"{service}_user")
    client = f"user {user!r}" if user else "a client without a user"
    return SettingsError(
        f"{service} at {getattr(settings, service)} refused {client}: {reason}; "
        f"look at {setting_label(f'{service}_user')} and {setting_label(f'{service}_password')}"
    )


def _handshake_fault(host: str, port: int, context: ssl.SSLContext) -> OSError | None:
    """The error of a TLS handshake, or None when the handshake succeeds."""
    try:
        with (
            socket.create_connection((host, port), timeout=HANDSHAKE_TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return None
    except OSError as error:
        return error


def _context_without_checks() -> ssl.SSLContext:
    """A context that trusts every server, for a handshake that only shows whether a port speaks TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
