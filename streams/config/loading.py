"""Where the settings come from.

A setting comes from these sources; a later source wins over an earlier one:

1. the defaults below,
2. the TOML file that `THALWEG_CONFIG` names,
3. the environment (`THALWEG_<NAME>`), without the variables that Kubernetes sets for Services.

What `thalweg up` wrote about a local service counts only when no source names an address of that service. A secret may
stand in a file of its own, which `<name>_file` (`THALWEG_<NAME>_FILE`) names. `thalweg doctor` prints all settings and
masks secrets.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streams.config.errors import SettingsError
from streams.config.local_state import local_settings
from streams.config.service_links import is_service_link
from streams.config.setting_checks import (
    check_dead_letter_content,
    check_login,
    check_topics,
    check_updates_format,
    check_updates_noise,
    check_value,
)
from streams.config.settings import PREFIX, REGISTRY, SECRETS, SERVICES, Secret, Settings

NOT_SETTINGS = {f"{PREFIX}{name}" for name in ("CONFIG", "HOME", "CACHE")}  # these variables name files and folders


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from all sources.

    Raises SettingsError that names the setting, its value (unless it is a secret) and where the value stood.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    config = environment.get(PREFIX + "CONFIG")
    if config:
        values.update(_from_file(Path(config)))
    values.update(_from_environment(environment))
    named_services = {service for service in SERVICES if service in values}
    if "cassandra_secure_bundle" in values:  # the bundle holds the addresses
        named_services.add("cassandra")
    # The file of the local services is read only for an address that no other source names.
    local = {} if named_services == set(SERVICES) else local_settings(environment)
    for field, value in local.items():
        # A local password must not go to another server, which may also have fewer nodes.
        if field.partition("_")[0] not in named_services and not (field == "replication" and named_services):
            values.setdefault(field, value)
    for field, value in values.items():
        check_value(field, value)
    settings = msgspec.convert(values, Settings, strict=False, dec_hook=Secret.read)
    for service in (*SERVICES, REGISTRY):
        check_login(settings, service)
    check_topics(settings)
    check_updates_format(settings)
    check_updates_noise(settings)
    check_dead_letter_content(settings)
    return settings


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environment.items():
        field = name[len(PREFIX) :].lower()
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        is_setting = field in _known_fields()
        if is_service_link(name, environment, is_setting):
            continue
        if not is_setting:
            other = sorted(variable.removeprefix(PREFIX).lower() for variable in NOT_SETTINGS)
            raise SettingsError(f"{name}: there is no setting {field!r}; {_known_names(field, other)}")
        values[field] = text
    return _with_secrets_from_files(values, "the environment")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SettingsError(f"{PREFIX}CONFIG names {path}, which does not exist") from None
    except OSError as error:
        raise SettingsError(f"{PREFIX}CONFIG names {path}, which cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    unknown = sorted(set(values) - _known_fields())
    if unknown:
        raise SettingsError(f"{path}: there is no setting {unknown[0]!r}; {_known_names(unknown[0])}")
    return _with_secrets_from_files(values, str(path))


def _known_fields() -> set[str]:
    return {*Settings.__struct_fields__, *(f"{name}_file" for name in SECRETS)}


def _known_names(field: str, other: Sequence[str] = ()) -> str:
    """The known name that is closest to an unknown one, and all known settings. other: names of no settings."""
    close = difflib.get_close_matches(field, [*_known_fields(), *other], n=1)
    question = f"is {close[0]} ({PREFIX}{close[0].upper()}) meant? " if close else ""
    return f"{question}known: {', '.join(sorted(_known_fields()))}"


def _with_secrets_from_files(values: dict[str, Any], source: str) -> dict[str, Any]:
    """The values of one source; each secret whose file the source names is read from the file."""
    for name in SECRETS:
        path = values.pop(f"{name}_file", None)
        if path is not None and name in values:
            raise SettingsError(f"{name} and {name}_file both stand in {source}: keep one")
        if path is not None:
            try:
                values[name] = Path(path).read_text().removesuffix("\n")
            except (OSError, UnicodeDecodeError, TypeError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise SettingsError(
                    f"{name}_file, {PREFIX}{name.upper()}_FILE in the environment ({source}) = {path!r} "
                    f"cannot be read: {reason}"
                ) from None
        if isinstance(values.get(name), str):
            values[name] = Secret(values[name])
    return values
