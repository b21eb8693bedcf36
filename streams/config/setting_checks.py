"""Mistakes in single settings, and in settings that do not fit together. Pure."""

import re
from collections.abc import Iterator
from typing import get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import inspect

from streams.config.errors import SettingsError
from streams.config.settings import CHOICES, PREFIX, REGISTRY, SECRETS, Secret, Settings, setting_label

LOOPBACK = ("127.0.0.1", "localhost", "::1")
UPDATES_NOISE = ("updates_noise_epsilon", "updates_noise_delta", "updates_noise_clip_norm", "updates_noise_key")
_EXTENSION = re.compile(r"[A-Za-z]+=[\x21-\x7e \t]+")  # RFC 7628, section 3.1


def check_login(settings: Settings, service: str) -> None:
    """Raises SettingsError when settings of a login do not fit together. No server could explain the mistake better."""
    if service != REGISTRY:
        _check_certificate(settings, service)
    if service in ("cassandra", REGISTRY):
        _check_user_and_password(settings, service)
        return
    if settings.broker_mechanism == "AWS_MSK_IAM":
        _check_aws(settings)
    else:
        _check_user_and_password(settings, service)
    _check_tokens(settings)


def _check_user_and_password(settings: Settings, service: str) -> None:
    user, password = getattr(settings, f"{service}_user"), getattr(settings, f"{service}_password")
    prefix = f"{PREFIX}{service.upper()}"
    if user and not password:
        name = f"{prefix}_PASSWORD"
        raise SettingsError(f"{service}_user = {user!r} has no password: set {name}, or {name}_FILE to a file with it")
    if password and not user:
        raise SettingsError(f"{service}_password is set and {service}_user is not: set {prefix}_USER")
    if service == "broker" and settings.broker_mechanism and not user:
        label = setting_label("broker_mechanism")
        raise SettingsError(
            f"{label} = {settings.broker_mechanism!r} has no user: set {prefix}_USER and {prefix}_PASSWORD"
        )


def _check_certificate(settings: Settings, service: str) -> None:
    prefix = f"{PREFIX}{service.upper()}"
    certificate, ca = getattr(settings, f"{service}_certificate"), getattr(settings, f"{service}_ca")
    for field in (f"{service}_key", f"{service}_key_password"):
        if getattr(settings, field) and not certificate:
            raise SettingsError(f"{field} is set and {service}_certificate is not: set {prefix}_CERTIFICATE")
    if certificate and not ca:
        raise SettingsError(
            f"{service}_certificate = {certificate!r} needs TLS: set {prefix}_CA to the PEM file of the server's "
            "authority, or to 'system' for public authorities"
        )
    if service == "cassandra" and settings.cassandra_secure_bundle and ca:
        raise SettingsError(
            "cassandra_ca and cassandra_secure_bundle are both set: keep one; the secure connect bundle already holds "
            "the authority and the certificate"
        )
    if service == "cassandra" and settings.cassandra_secure_bundle and settings.cassandra_addresses:
        raise SettingsError(
            "cassandra_addresses and cassandra_secure_bundle are both set: keep one; the secure connect bundle names "
            "the server by which every node is reached"
        )


def _check_aws(settings: Settings) -> None:
    label = f"{setting_label('broker_mechanism')} = 'AWS_MSK_IAM'"
    for field in ("broker_user", "broker_password"):
        if getattr(settings, field):
            raise SettingsError(f"{label} takes the credentials of AWS: leave out {setting_label(field)}")
    if not settings.broker_ca:
        raise SettingsError(f"{label} needs TLS: set {setting_label('broker_ca')} to 'system'")


def _check_tokens(settings: Settings) -> None:
    label = setting_label("broker_mechanism")
    url_label = setting_label("broker_token_url")
    url, mechanism = settings.broker_token_url, settings.broker_mechanism
    if mechanism == "OAUTHBEARER" and not url:
        raise SettingsError(f"{label} = 'OAUTHBEARER' needs {url_label}: the token endpoint of the issuer")
    for field in ("broker_token_url", "broker_token_scope", "broker_token_ca", "broker_token_extensions"):
        if getattr(settings, field) and mechanism != "OAUTHBEARER":
            raise SettingsError(f"{setting_label(field)} is for tokens: set {label} to 'OAUTHBEARER', or leave it out")
    if url is not None and not _keeps_secrets(url):
        raise SettingsError(
            f"{url_label} = {url!r} is no https address: the client's secret would be readable on the way"
        )
    for pair in filter(None, (settings.broker_token_extensions or "").split(",")):
        if not _EXTENSION.fullmatch(pair.strip()):
            label = setting_label("broker_token_extensions")
            raise SettingsError(f"{label}: {pair.strip()!r} is not name=value, as in logicalCluster=lkc-1")


def _keeps_secrets(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


def check_topics(settings: Settings) -> None:
    """Raises SettingsError when two topics have one name. A worker would read its own dead letters for ever."""
    field_of: dict[str, str] = {}
    for field in (name for name in Settings.__struct_fields__ if name.endswith("_topic")):
        topic = getattr(settings, field)
        other = field_of.setdefault(topic, field)
        if other != field:
            raise SettingsError(
                f"settings {setting_label(other)} and {setting_label(field)} are both {topic!r}: give each topic its "
                "own name"
            )


def check_updates_format(settings: Settings) -> None:
    """Raises SettingsError for a format that needs a schema registry, where the settings name none."""
    if settings.updates_format != "json" and settings.schema_registry is None:
        raise SettingsError(
            f"{setting_label('updates_format')} = {settings.updates_format!r} needs a schema registry: set "
            f"{setting_label(REGISTRY)} to its address"
        )


def check_updates_noise(settings: Settings) -> None:
    """Raises SettingsError where some of the settings of the noise are set, and others are not."""
    missing = [field for field in UPDATES_NOISE if getattr(settings, field) is None]
    if 0 < len(missing) < len(UPDATES_NOISE):
        present = next(field for field in UPDATES_NOISE if field not in missing)
        raise SettingsError(
            f"{setting_label(present)} = {getattr(settings, present)!r} needs "
            f"{', '.join(map(setting_label, missing))}: set all settings of the noise of updates, or none"
        )


def check_dead_letter_content(settings: Settings) -> None:
    """Raises SettingsError where originals are to be dropped, and no key says that they are private."""
    if settings.dead_letter_content == "dropped" and settings.pseudonym_key is None:
        raise SettingsError(
            f"{setting_label('dead_letter_content')} = 'dropped' needs {setting_label('pseudonym_key')}: without a "
            "key, dead letters hold their originals"
        )


def check_value(field: str, value: object) -> None:
    """Raises SettingsError that names the setting, its value (unless it is a secret), and what is expected."""
    try:
        msgspec.convert({field: value}, Settings, strict=False, dec_hook=Secret.read)
    except msgspec.ValidationError:
        shown = Secret() if field in SECRETS else value
        raise SettingsError(f"setting {setting_label(field)} = {shown!r}: give {_expected(field)}") from None


def _expected(field: str) -> str:
    """The values that a setting takes, in words."""
    (found,) = (one for one in msgspec.structs.fields(Settings) if one.name == field)
    kind = inspect.type_info(found.type)
    if isinstance(kind, inspect.UnionType):
        (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return f"one of the known values; known: {', '.join(get_args(CHOICES[field]))}"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return " ".join(("a whole number" if isinstance(kind, inspect.IntType) else "a number", *_bounds(kind)))
    if isinstance(kind, inspect.StrType) and kind.pattern is not None:
        return "a text of 1 to 200 letters, digits, dots, underscores and hyphens"  # InstanceId
    return "a text that is not empty" if isinstance(kind, inspect.StrType) and kind.min_length else "a text"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> Iterator[str]:
    low = None if kind.gt is None else f"above {kind.gt:g}"
    high = None if kind.lt is None else f"below {kind.lt:g}"
    low = low if kind.ge is None else f"of at least {kind.ge:g}"
    high = high if kind.le is None else f"of at most {kind.le:g}"
    yield " and ".join(filter(None, (low, high)))
