"""TLS and authentication: the settings as arguments of the client libraries."""

import ssl
from typing import Any

from streams.config.errors import SettingsError
from streams.config.settings import Settings, setting_label

SCRAM = "SCRAM-SHA-512"


def broker_arguments(settings: Settings) -> dict[str, Any]:
    """Addresses of the brokers, TLS and authentication as keyword arguments of both aiokafka and kafka-python.

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
    """A context that trusts only the CA of the service and checks host names. None when no CA is set.

    Raises SettingsError for a CA file that cannot be used.
    """
    file = getattr(settings, f"{service}_ca")
    if not file:
        return None
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{setting_label(f'{service}_ca')} = {file!r} cannot be used: {error}; name the PEM file of the authority "
            "that signed the server's certificate"
        ) from None
