"""Why a handshake of TLS fails: the server is asked again after a failed connection. All functions block."""

import contextlib
import socket
import ssl

from streams.config.errors import SettingsError
from streams.config.logins.tls import tls_context
from streams.config.settings import Settings, addresses, setting_label

HANDSHAKE_TIMEOUT_S = 2.0
# A server of TLS 1.3 tells after the handshake that it does not take the client's certificate.
ALERT_WAIT_S = 0.5
# What the alerts of servers hold that look at a client's certificate (RFC 8446, section 6.2), in OpenSSL's words.
_ALERTS_ABOUT_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")
_ALERT_OF_CASSANDRA = "INTERNAL_ERROR"  # also where Cassandra does not trust the client's certificate


def check_tls(settings: Settings, service: str) -> None:
    """Call this function after a failed connection.

    Raises SettingsError when only one side speaks TLS, or when one side does not trust the other's certificate.
    """
    context = tls_context(settings, service)
    ca = f"{service}_ca"
    for host, port in addresses(service, getattr(settings, service)):
        server = f"{service} {host}:{port}"
        if context is None:
            if speaks_tls(host, port):
                remedy = f"set {setting_label(ca)} to the PEM file of its authority, or to 'system' for public ones"
                raise SettingsError(f"{server} speaks TLS: {remedy}")
            continue
        fault = _handshake_fault(host, port, context)
        if isinstance(fault, ssl.SSLCertVerificationError):
            raise SettingsError(
                f"the certificate of {server} is not to be trusted: {fault.verify_message}; look at "
                f"{setting_label(ca)} = {getattr(settings, ca)!r}"
            )
        has_certificate = bool(getattr(settings, f"{service}_certificate"))
        if isinstance(fault, ssl.SSLError) and _is_about_certificate(fault, has_certificate):
            raise SettingsError(_refused_certificate(settings, service, server, fault))
        # A Kafka port without TLS reads the handshake as the size of a huge request and closes the connection.
        if isinstance(fault, ssl.SSLError | ConnectionResetError):
            raise SettingsError(
                f"{server} does not speak TLS ({fault}): look at its port, or leave out {setting_label(ca)}"
            )


def speaks_tls(host: str, port: int) -> bool:
    """True where a handshake succeeds, or fails because the server asks for a certificate."""
    fault = _handshake_fault(host, port, _context_without_checks())
    return fault is None or (isinstance(fault, ssl.SSLError) and _is_about_certificate(fault))


def _is_about_certificate(fault: ssl.SSLError, has_certificate: bool = False) -> bool:
    reason = fault.reason or ""
    parts = (*_ALERTS_ABOUT_CERTIFICATES, _ALERT_OF_CASSANDRA) if has_certificate else _ALERTS_ABOUT_CERTIFICATES
    return "ALERT" in reason and any(part in reason for part in parts)


def _refused_certificate(settings: Settings, service: str, server: str, fault: ssl.SSLError) -> str:
    certificate = getattr(settings, f"{service}_certificate")
    label, key = setting_label(f"{service}_certificate"), setting_label(f"{service}_key")
    if not certificate:
        return f"{server} asks for a client certificate ({fault.reason}): set {label} and {key}"
    return (
        f"{server} does not accept the client certificate {certificate!r} ({fault.reason}): look at {label}: does the "
        "server trust its authority, and is it still valid?"
    )


def _handshake_fault(host: str, port: int, context: ssl.SSLContext) -> OSError | None:
    """The error of a TLS handshake, or None when the handshake succeeds."""
    try:
        with (
            socket.create_connection((host, port), timeout=HANDSHAKE_TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=host) as encrypted,
        ):
            encrypted.settimeout(ALERT_WAIT_S)
            with contextlib.suppress(TimeoutError):  # the server waits for a request, so the handshake is over
                encrypted.recv(1)
            return None
    except OSError as error:
        return error


def _context_without_checks() -> ssl.SSLContext:
    """A context that trusts every server, for a handshake that only shows whether a port speaks TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
