"""TLS and authentication: the settings as arguments of the client libraries, and in words."""

from typing import Any

from streams.config.brokers import first_addresses, silent_brokers
from streams.config.logins import aiokafka_sessions
from streams.config.logins.tls import SYSTEM, tls_context
from streams.config.logins.token_providers import AiokafkaTokens, KafkaPythonTokens
from streams.config.settings import TOKEN_MECHANISMS, Settings

aiokafka_sessions.mend()
silent_brokers.mend()
first_addresses.mend()


def aiokafka_arguments(settings: Settings) -> dict[str, Any]:
    """Addresses of the brokers, TLS and authentication as keyword arguments of aiokafka.

    Raises SettingsError for files that cannot be used.
    """
    return _arguments(settings, AiokafkaTokens)


def kafka_python_arguments(settings: Settings) -> dict[str, Any]:
    """The same for kafka-python, without the brokers that were silent a moment ago."""
    arguments = _arguments(settings, KafkaPythonTokens)
    return {**arguments, "bootstrap_servers": silent_brokers.speaking(arguments["bootstrap_servers"])}


def _arguments(settings: Settings, token_provider: type[AiokafkaTokens] | type[KafkaPythonTokens]) -> dict[str, Any]:
    context, mechanism = tls_context(settings, "broker"), settings.mechanism
    arguments: dict[str, Any] = {"bootstrap_servers": settings.broker.split(","), "ssl_context": context}
    if mechanism is None:
        return {**arguments, "security_protocol": "PLAINTEXT" if context is None else "SSL"}
    arguments["security_protocol"] = "SASL_PLAINTEXT" if context is None else "SASL_SSL"
    if mechanism in TOKEN_MECHANISMS:
        return {**arguments, "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": token_provider(settings)}
    arguments["sasl_plain_username"], arguments["sasl_plain_password"] = settings.broker_user, settings.broker_password
    return {**arguments, "sasl_mechanism": mechanism}


def describe_login(settings: Settings, service: str) -> str:
    """How clients log in to a service, in words and without secrets."""
    user, ca = getattr(settings, f"{service}_user"), getattr(settings, f"{service}_ca")
    certificate = getattr(settings, f"{service}_certificate")
    parts = []
    if service == "broker" and settings.mechanism is not None:
        parts.append(f"{f'user {user!r} ' if user else ''}by {settings.mechanism}")
        if settings.broker_token_url:
            parts.append(f"with tokens of {settings.broker_token_url}")
    elif user:
        parts.append(f"user {user!r} by password")
    if certificate:
        parts.append(f"client certificate {certificate}")
    if service == "cassandra" and settings.cassandra_secure_bundle:
        parts.append(f"secure connect bundle {settings.cassandra_secure_bundle}")
    elif ca:
        parts.append(f"TLS that trusts {'the authorities of this machine' if ca == SYSTEM else ca}")
    else:
        parts.append("no TLS")
    return ", ".join(parts) if len(parts) > 1 or ca else "without a user and without TLS"
