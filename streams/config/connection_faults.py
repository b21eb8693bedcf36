"""Why a server does not let a client in: failures of TLS and of authentication become SettingsErrors here.

The client libraries try again and again instead, and at best log the reason. After a failed connection, Thalweg
therefore asks the server itself. All functions block.
"""

import asyncio
import ssl
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from streams.config.errors import SettingsError
from streams.config.logins.handshake import check_tls
from streams.config.logins.oidc import expiry_in_token
from streams.config.logins.token_providers import broker_token
from streams.config.security import aiokafka_arguments
from streams.config.settings import TOKEN_MECHANISMS, Settings, addresses, setting_label

_Result = TypeVar("_Result")

LOGIN_TIMEOUT_MS = 5_000
LOGIN_REFUSALS = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)
_EXPECTED_WITH_TOKENS = ("broker_token_scope", "broker_token_extensions")
_NO_MECHANISM = "?"  # no broker offers this mechanism, and the broker then names those that it offers


def check_broker_login(settings: Settings) -> None:
    """Raises SettingsError when a broker answers and does not let this client in.

    A broker that does not answer is no error here. Raises SettingsError and BrokerError where no token is to be had.
    """
    if settings.mechanism in TOKEN_MECHANISMS:
        broker_token(settings).current()
    fault = _in_a_thread(_broker_login_fault(settings))
    if fault is None:
        return
    check_tls(settings, "broker")
    if isinstance(fault, LOGIN_REFUSALS):
        raise _refusal(settings, fault)
    if settings.mechanism is None and isinstance(fault, KafkaConnectionError):
        offered = _in_a_thread(_offered_mechanisms(settings))
        if offered:
            needed = (setting_label(f"broker_{name}") for name in ("mechanism", "user", "password"))
            raise SettingsError(
                f"broker at {settings.broker} refused a client without a user: {_offer(offered)}; "
                f"set {', '.join(needed)}"
            )
        raise refused_login(settings, "broker", "it closed the connection")


def refused_login(settings: Settings, service: str, reason: object) -> SettingsError:
    """The error for a server that refuses the user, or that requires a user when none is set."""
    user = getattr(settings, f"{service}_user")
    client = f"user {user!r}" if user else "a client without a user"
    return SettingsError(
        f"{service} at {settings.place_of(service)} refused {client}: {reason}; "
        f"look at {setting_label(f'{service}_user')} and {setting_label(f'{service}_password')}"
    )


def _refusal(settings: Settings, fault: BaseException) -> SettingsError:
    """The error for a broker that refuses a login with SASL."""
    label = setting_label("broker_mechanism")
    if isinstance(fault, IllegalSaslStateError):
        return SettingsError(
            f"broker at {settings.broker} takes no logins with SASL at this port: look at the port, or leave out "
            f"{label} and {setting_label('broker_user')}"
        )
    if isinstance(fault, UnsupportedSaslMechanismError):
        offered = _in_a_thread(_offered_mechanisms(settings))
        return SettingsError(
            f"broker at {settings.broker} does not offer {settings.mechanism}: {_offer(offered)}; set {label} to a "
            "mechanism that the broker offers"
        )
    if settings.mechanism not in TOKEN_MECHANISMS:
        return refused_login(settings, "broker", fault)
    return SettingsError(f"broker at {settings.broker} refused a token: {fault}; {_token_remedy(settings)}")


def _token_remedy(settings: Settings) -> str:
    if settings.mechanism == "AWS_MSK_IAM":
        return (
            "look at the policy of this role in AWS (kafka-cluster:Connect), at the region, and at the machine's clock"
        )
    token = broker_token(settings).current()
    issuer = f"{setting_label('broker_token_url')} = {settings.broker_token_url!r}"
    expected = (f"{setting_label(name)} = {getattr(settings, name)!r}" for name in _EXPECTED_WITH_TOKENS)
    expiry_s = expiry_in_token(token.text) or token.expires_s
    if expiry_s <= time.time():
        ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expiry_s))
        return f"the issuer at {issuer} gave a token that ended at {ended}: look at both machines' clocks"
    return f"does the broker trust the issuer at {issuer}, and does the broker expect {' and '.join(expected)}?"


def _offer(mechanisms: list[str]) -> str:
    return f"the broker offers {', '.join(mechanisms)}" if mechanisms else "the broker does not tell what it offers"


def _in_a_thread(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of a coroutine. The caller may already run an event loop in its own thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _broker_login_fault(settings: Settings) -> BaseException | None:
    """Log in to one broker after the other until one accepts. Returns None then, and the last error otherwise."""
    arguments = aiokafka_arguments(settings)
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


async def _offered_mechanisms(settings: Settings) -> list[str]:
    """What the first broker that answers offers, in order of the alphabet. Empty where the broker does not tell."""
    context: ssl.SSLContext | None = aiokafka_arguments(settings)["ssl_context"]
    protocol = "PLAINTEXT" if context is None else "SSL"
    for host, port in addresses("broker", settings.broker):
        try:
            connection = await create_conn(
                host, port, request_timeout_ms=LOGIN_TIMEOUT_MS, ssl_context=context, security_protocol=protocol
            )
        except (OSError, KafkaError):
            continue
        try:
            answer = await connection.send(SaslHandShakeRequest(_NO_MECHANISM))
            return sorted(answer.enabled_mechanisms)
        except KafkaError:
            continue
        finally:
            connection.close()
    return []
