"""Mistakes in single settings, and in settings that do not fit together. Pure."""

from typing import get_args

import msgspec

from streams.config.errors import SettingsError
from streams.config.settings import CHOICES, PREFIX, SECRETS, Secret, Settings, setting_label


def check_user_and_password(settings: Settings, service: str) -> None:
    """Raises SettingsError when only one of user and password is set. No server could explain this mistake better."""
    user, password = getattr(settings, f"{service}_user"), getattr(settings, f"{service}_password")
    if user and not password:
        name = f"{PREFIX}{service.upper()}_PASSWORD"
        raise SettingsError(f"{service}_user = {user!r} has no password: set {name}, or {name}_FILE to a file with it")
    if password and not user:
        raise SettingsError(f"{service}_password is set and {service}_user is not: set {PREFIX}{service.upper()}_USER")


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


def check_value(field: str, value: object) -> None:
    try:
        msgspec.convert({field: value}, Settings, strict=False, dec_hook=Secret.read)
    except msgspec.ValidationError as error:
        shown = Secret() if field in SECRETS else value
        known = f"; known: {', '.join(get_args(CHOICES[field]))}" if field in CHOICES else ""
        raise SettingsError(f"setting {setting_label(field)} = {shown!r}: {error}{known}") from None
