"""TLS contexts from settings: whom a client trusts, and the certificate with which the client proves who it is."""

import os
import ssl
from pathlib import Path

import certifi

from streams.config.errors import SettingsError
from streams.config.settings import PREFIX, Settings, setting_label

SYSTEM = "system"  # a value of the settings of a CA


def tls_context(settings: Settings, service: str) -> ssl.SSLContext | None:
    """A context that trusts only the CA of the service and checks host names. None when no CA is set.

    Raises SettingsError for files that cannot be used.
    """
    ca = getattr(settings, f"{service}_ca")
    if not ca:
        return None
    context = trusting_context(ca, f"{service}_ca")
    _load_certificate(context, settings, service)
    return context


def trusting_context(ca: str, setting: str) -> ssl.SSLContext:
    """A context that trusts the authorities of a PEM file, or of the system for `SYSTEM`, and checks host names.

    setting: where `ca` stood. Raises SettingsError for a file that cannot be used.
    """
    try:
        if ca != SYSTEM:
            return ssl.create_default_context(cafile=ca)
        return ssl.create_default_context(cafile=None if _system_has_authorities() else certifi.where())
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{setting_label(setting)} = {ca!r} cannot be used: {error}; name the PEM file of the authority "
            f"that signed the server's certificate, or {SYSTEM!r} for the authorities that this machine trusts"
        ) from None


def _system_has_authorities() -> bool:
    """True where OpenSSL finds certificates of authorities. Images of containers often have none."""
    paths = ssl.get_default_verify_paths()  # None for a path that does not exist
    return paths.cafile is not None or (paths.capath is not None and any(os.scandir(paths.capath)))


def _load_certificate(context: ssl.SSLContext, settings: Settings, service: str) -> None:
    """Raises SettingsError for a certificate or a key that cannot be used."""
    certificate, key = getattr(settings, f"{service}_certificate"), getattr(settings, f"{service}_key")
    if not certificate:
        return
    label = f"{setting_label(f'{service}_certificate')} = {certificate!r}"
    label += f" with {setting_label(f'{service}_key')} = {key!r}" if key else ""
    for file in filter(None, (certificate, key)):
        if not Path(file).is_file():
            raise SettingsError(f"{label} cannot be used: there is no file {file!r}")
    password = getattr(settings, f"{service}_key_password")
    try:
        # A function in place of the password, because OpenSSL would otherwise ask for a missing one at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: password or "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise SettingsError(f"{label} cannot be used: {_fault_of_key(error, service, password is not None)}") from None


def _fault_of_key(error: Exception, service: str, has_password: bool) -> str:
    reason = getattr(error, "reason", None) or str(error)
    name = f"{PREFIX}{service.upper()}_KEY_PASSWORD"
    if reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    # OpenSSL names a wrong password in different ways, which depend on the form of the key.
    if has_password:
        return f"{reason}; is {name} the password of the key, and are both files in PEM form?"
    return f"{reason}; are both files in PEM form? A key that is encrypted needs {name}, or {name}_FILE"
