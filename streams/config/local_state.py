"""The file in which `thalweg up` names its services, and the settings with which clients reach the services."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streams.config.errors import SettingsError


class _LocalState(msgspec.Struct):
    """The part of the file of `thalweg up` that clients need."""

    access: dict[str, Any]


def home(environment: Mapping[str, str]) -> Path:
    """The data folder of the services that `thalweg up` starts: THALWEG_HOME, or ~/.local/share/thalweg."""
    named = environment.get("THALWEG_HOME")
    return Path(named) if named else Path.home() / ".local" / "share" / "thalweg"


def local_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings with which clients reach the services that `thalweg up` started. Empty when there are none.

    Raises SettingsError when the file of `thalweg up` cannot be read.
    """
    try:
        return dict(msgspec.json.decode(read_local_state(environment), type=_LocalState).access)
    except msgspec.MsgspecError:
        return {}


def read_local_state(environment: Mapping[str, str]) -> bytes:
    """The file in which `thalweg up` names its services. b"" when there is no such file.

    Raises SettingsError when the file cannot be read.
    """
    file = home(environment) / "local.json"
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise SettingsError(
            f"{file}, the file of `thalweg up`, cannot be read: {error.strerror}; set THALWEG_HOME to a folder of your "
            "own, or set THALWEG_BROKER and THALWEG_CASSANDRA"
        ) from None
