"""Every setting of the live system in one typed place.

Sources, later ones win: the defaults below, the TOML file named by `THALWEG_CONFIG`, the environment
(`THALWEG_<NAME>`), what `thalweg up` wrote about the local services only where nothing else names an address.
A secret may stand in a file of its own, which `<name>_file` names (`THALWEG_<NAME>_FILE`). `thalweg doctor` prints the
result, secrets masked.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from streams.config.errors import SettingsError

PREFIX = "THALWEG_"
ELSEWHERE = {f"{PREFIX}{name}" for name in ("CONFIG", "HOME", "CACHE")}  # where files are, not what is in them
SERVICES = ("broker", "cassandra")
SECRETS = tuple(f"{service}_password" for service in SERVICES)
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_ADDRESS = re.compile(r"(?P<host>[^:/\s]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")


class Secret(str):
    """Text that shows itself as '***' wherever a value is printed, also inside the options of a client library."""

    def __repr__(self) -> str:
        return "'***'"

    @classmethod
    def read(cls, kind: type, value: object) -> "Secret":
        """msgspec's decoding hook. Raises TypeError for anything but text."""
        if not isinstance(value, str):
            raise TypeError(f"expected text, got {type(value).__name__}")
        return cls(value)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses, names and limits. Ports: 0 means any free one."""

    broker: str = "127.0.0.1:9092"
    broker_ca: str | None = None  # PEM file of the authority that signed the brokers' certificates: turns TLS on
    broker_user: str | None = None  # turns SCRAM-SHA-512 on
    broker_password: Secret | None = None
    cassandra: str = "127.0.0.1:9042"  # host:port, several separated by commas
    cassandra_ca: str | None = None
    cassandra_user: str | None = None
    cassandra_password: Secret | None = None
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

    # Only reached behind: a batch is what came while the one before was processed. Of 20,000 users' events 32,000 of a
    # partition write .15 rows an event, 16,000 .3 and 4,000 .7, and rows are half of what an event costs; catching up,
    # such a batch takes about a second.
    batch_max_events: PositiveInt = 32_000
    arena_max_users: PositiveInt = 1_000_000  # users held in memory by one worker, the coldest are dropped
    # Of the events, how many are ranked over the catalogue: a rank over 1,000,000 items takes 2.4 ms of CPU.
    evaluation_share: Share = 1.0
    http_host: str = "127.0.0.1"
    http_port: Port = 0  # /metrics, /healthz, /readyz
    session_timeout_s: PositiveInt = 10  # a dead worker's partitions move after this
    # With work and no progress a worker ends after this; a restart of Kafka or Cassandra takes a minute or less.
    stall_limit_s: PositiveInt = 180
    # Added partitions are read when all producers know of them: a Kafka client asks for metadata every 5 minutes.
    partition_handover_s: Annotated[int, msgspec.Meta(ge=0)] = 300

    def __post_init__(self) -> None:
        """Raises SettingsError for an address that is not host:port."""
        for service in SERVICES:
            addresses(service, getattr(self, service))
            password = getattr(self, f"{service}_password")
            if password is not None:  # masked too where the caller gave plain text
                msgspec.structs.force_setattr(self, f"{service}_password", Secret(password))


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. Raises SettingsError that names the setting, its value (no secret) and where it stood."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    config = environment.get(PREFIX + "CONFIG")
    if config:
        values.update(_from_file(Path(config)))
    values.update(_from_environment(environment))
    elsewhere = {service for service in SERVICES if service in values}
    for field, value in local_settings(environment).items():
        if field.partition("_")[0] not in elsewhere:  # a local service's password goes to no other server
            values.setdefault(field, value)
    for field, value in values.items():
        _check(field, value)
    settings = msgspec.convert(values, Settings, strict=False, dec_hook=Secret.read)
    for service in SERVICES:
        _check_login(settings, service)
    return settings


def addresses(setting: str, value: str) -> list[tuple[str, int]]:
    """(host, port) of each address in a setting. Raises SettingsError where one is not host:port."""
    found = []
    for address in value.split(","):
        match = _ADDRESS.fullmatch(address.strip())
        if match is None or not 0 < int(match["port"]) <= 65535:
            raise SettingsError(
                f"setting {setting} ({PREFIX}{setting.upper()}) = {value!r}: {address.strip()!r} is not host:port; "
                f"write the port too, as in {address.strip().partition(':')[0] or 'localhost'}:"
                f"{'9092' if setting == 'broker' else '9042'}, several separated by commas"
            )
        found.append((match["host"].strip("[]"), int(match["port"])))
    return found


def home(environment: Mapping[str, str]) -> Path:
    """The folder of what `thalweg up` runs: THALWEG_HOME, or ~/.local/share/thalweg."""
    named = environment.get("THALWEG_HOME")
    return Path(named) if named else Path.home() / ".local" / "share" / "thalweg"


def local_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What reaches the services that `thalweg up` started, by setting; empty where there are none."""
    try:
        state = msgspec.json.decode((home(environment) / "local.json").read_bytes(), type=dict[str, Any])
        return dict(state["access"])
    except (FileNotFoundError, KeyError, msgspec.MsgspecError):
        return {}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environment.items():
        field = name[len(PREFIX) :].lower()
        if not name.startswith(PREFIX) or name in ELSEWHERE:
            continue
        if field not in _names():
            raise SettingsError(f"{name}: there is no setting {field!r}; known: {', '.join(sorted(_names()))}")
        values[field] = text
    return _with_secrets(values, "the environment")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SettingsError(f"{PREFIX}CONFIG names {path}, which does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    unknown = sorted(set(values) - _names())
    if unknown:
        raise SettingsError(f"{path}: unknown setting {unknown[0]!r}; known: {', '.join(sorted(_names()))}")
    return _with_secrets(values, str(path))


def _names() -> set[str]:
    return {*Settings.__struct_fields__, *(f"{name}_file" for name in SECRETS)}


def _with_secrets(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values of one source, secrets read from the files that it names."""
    for name in SECRETS:
        path = values.pop(f"{name}_file", None)
        if path is not None and name in values:
            raise SettingsError(f"{name} and {name}_file both stand in {where}: keep one")
        if path is not None:
            try:
                values[name] = Path(path).read_text().removesuffix("\n")
            except (OSError, UnicodeDecodeError, TypeError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                spelled = f"{name}_file, {PREFIX}{name.upper()}_FILE in the environment"
                raise SettingsError(f"{spelled} ({where}) = {path!r} cannot be read: {why}") from None
        if isinstance(values.get(name), str):
            values[name] = Secret(values[name])
    return values


def _check_login(settings: Settings, service: str) -> None:
    """A user without a password or the reverse is a mistake that no server could name better."""
    user, password = getattr(settings, f"{service}_user"), getattr(settings, f"{service}_password")
    if user and not password:
        name = f"{PREFIX}{service.upper()}_PASSWORD"
        raise SettingsError(f"{service}_user = {user!r} has no password: set {name}, or {name}_FILE to a file with it")
    if password and not user:
        raise SettingsError(f"{service}_password is set and {service}_user is not: set {PREFIX}{service.upper()}_USER")


def _check(field: str, value: object) -> None:
    try:
        msgspec.convert({field: value}, Settings, strict=False, dec_hook=Secret.read)
    except msgspec.ValidationError as error:
        shown = Secret() if field in SECRETS else value
        raise SettingsError(f"setting {field} ({PREFIX}{field.upper()}) = {shown!r}: {error}") from None
