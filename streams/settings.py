"""Every setting of the live system in one typed place.

Sources, later ones win: the defaults below, the TOML file named by `THALWEG_CONFIG`, the environment
(`THALWEG_<NAME>`), what `thalweg up` wrote about the local services only where nothing else names an address.
`thalweg doctor` prints the result.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from streams.errors import SettingsError

PREFIX = "THALWEG_"
ELSEWHERE = {f"{PREFIX}{name}" for name in ("CONFIG", "HOME", "CACHE")}  # where files are, not what is in them
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses, names and limits. Ports: 0 means any free one."""

    broker: str = "127.0.0.1:9092"
    cassandra: str = "127.0.0.1:9042"  # host:port, several separated by commas
    keyspace: str = "thalweg"
    replication: PositiveInt = 1  # of the keyspace and of topics that Thalweg creates
    bundle: str | None = None  # folder of the bundle to serve
    group: str = "thalweg"  # the consumer group is <group>-<bundle id>: each bundle reads for itself

    behavior_topic: str = "behavior.events.v1"
    dead_letter_topic: str = "behavior.events.v1.dlq"
    updates_topic: str = "representations.updates.v1"
    evaluation_topic: str = "evaluation.events.v1"
    metrics_topic: str = "evaluation.metrics.v1"
    partitions: PositiveInt = 4  # of topics that Thalweg creates

    # Only reached under load: a poll returns what there is. 4,000 events of 20,000 users need a quarter fewer rows than
    # 1,000 do, since a user's later events come in the same batch; they take about 100 ms from poll to stored row.
    batch_max_events: PositiveInt = 4000
    arena_max_users: PositiveInt = 1_000_000  # users held in memory by one worker, the coldest are dropped
    http_host: str = "127.0.0.1"
    http_port: Port = 0  # /metrics, /healthz, /readyz
    session_timeout_s: PositiveInt = 10  # a dead worker's partitions move after this
    # With work and no progress a worker ends after this; a restart of Kafka or Cassandra takes a minute or less.
    stall_limit_s: PositiveInt = 180
    # Added partitions are read when all producers know of them: a Kafka client asks for metadata every 5 minutes.
    partition_handover_s: Annotated[int, msgspec.Meta(ge=0)] = 300


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. Raises SettingsError that names the setting, its value and where it stood."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    config = environment.get(PREFIX + "CONFIG")
    if config:
        values.update(_from_file(Path(config)))
    names = set(Settings.__struct_fields__)
    for name, text in environment.items():
        field = name[len(PREFIX) :].lower()
        if not name.startswith(PREFIX) or name in ELSEWHERE:
            continue
        if field not in names:
            raise SettingsError(f"{name}: there is no setting {field!r}; known: {', '.join(sorted(names))}")
        values[field] = text
    if "broker" not in values or "cassandra" not in values:
        for field, address in local_addresses(environment).items():
            values.setdefault(field, address)
    for field, value in values.items():
        _check(field, value)
    return msgspec.convert(values, Settings, strict=False)


def home(environment: Mapping[str, str]) -> Path:
    """The folder of what `thalweg up` runs: THALWEG_HOME, or ~/.local/share/thalweg."""
    named = environment.get("THALWEG_HOME")
    return Path(named) if named else Path.home() / ".local" / "share" / "thalweg"


def local_addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """Addresses of the services that `thalweg up` started, empty where there are none."""
    try:
        state = msgspec.json.decode((home(environment) / "local.json").read_bytes(), type=dict[str, Any])
        return {"broker": str(state["bootstrap"]), "cassandra": str(state["cassandra"])}
    except (FileNotFoundError, KeyError, msgspec.MsgspecError):
        return {}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SettingsError(f"{PREFIX}CONFIG names {path}, which does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    unknown = sorted(set(values) - set(Settings.__struct_fields__))
    if unknown:
        raise SettingsError(f"{path}: unknown setting {unknown[0]!r}; known: {', '.join(Settings.__struct_fields__)}")
    return values


def _check(field: str, value: object) -> None:
    try:
        msgspec.convert({field: value}, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"setting {field} ({PREFIX}{field.upper()}) = {value!r}: {error}") from None
