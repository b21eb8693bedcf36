"""Every setting of the live system in one typed place.

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
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from streams.config.errors import SettingsError
from streams.config.service_links import is_service_link

PREFIX = "THALWEG_"
NOT_SETTINGS = {f"{PREFIX}{name}" for name in ("CONFIG", "HOME", "CACHE")}  # these variables name files and folders
SERVICES = ("broker", "cassandra")
SECRETS = tuple(f"{service}_password" for service in SERVICES)
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Compression = Literal["gzip", "lz4", "snappy", "zstd", "none"]
Partitioner = Literal["murmur2", "crc32", "fnv1a"]
CHOICES: dict[str, Any] = {"compression": Compression, "partitioner": Partitioner}  # settings with few values
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_ADDRESS = re.compile(r"(?P<host>[^:/\s]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")


class Secret(str):
    """A text that is shown as '***' wherever a value is printed, also inside the arguments of a client library."""

    def __repr__(self) -> str:
        return "'***'"

    @classmethod
    def read(cls, kind: type, value: object) -> "Secret":
        """msgspec's decoding hook. Raises TypeError when the value is not a text."""
        if not isinstance(value, str):
            raise TypeError(f"expected text, got {type(value).__name__}")
        return cls(value)


class _LocalState(msgspec.Struct):
    """The part of the file of `thalweg up` that clients need."""

    access: dict[str, Any]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses, names and limits. Port 0 means any free port."""

    broker: str = "127.0.0.1:9092"  # host:port, several separated by commas
    broker_ca: str | None = None  # PEM file of the authority that signed the brokers' certificates; turns TLS on
    broker_user: str | None = None  # turns SCRAM-SHA-512 on
    broker_password: Secret | None = None
    cassandra: str = "127.0.0.1:9042"  # host:port, several separated by commas
    cassandra_ca: str | None = None
    cassandra_user: str | None = None
    cassandra_password: Secret | None = None
    keyspace: Text = "thalweg"
    replication: PositiveInt = 1  # replicas of the keyspace and of the topics that Thalweg creates
    bundle: str | None = None  # folder of the bundle to serve
    group: Text = "thalweg"  # first part of the consumer group's id, see `consumer_group_id`

    behavior_topic: Text = "behavior.events.v1"
    mapping: str | None = None  # preset or TOML file by which the behaviour topic is read; None: the event contract
    dead_letter_topic: Text = "behavior.events.v1.dlq"
    updates_topic: Text = "representations.updates.v1"
    evaluation_topic: Text = "evaluation.events.v1"
    metrics_topic: Text = "evaluation.metrics.v1"
    alarms_topic: Text = "evaluation.alarms.v1"
    predictions_topic: Text = "evaluation.predictions.v1"
    catalogue_topic: Text = "catalogue.items.v1"
    partitions: PositiveInt = 4  # partitions of the topics that Thalweg creates
    # Codec of the topics that a worker writes. Every Kafka client reads gzip without a further package:
    # docs/decisions.md#compression-codec
    compression: Compression = "gzip"
    # The rule by which producers choose the partition of a key. Without a rule here, a sample of the behaviour topic's
    # records tells the rule (streams/broker/partitioners/choice.py).
    partitioner: Partitioner | None = None

    # Only a worker that is behind reaches this size, because a micro-batch holds what came while the previous one was
    # processed. A micro-batch of this size writes 0.15 rows for each event: docs/decisions.md#largest-batch
    batch_max_events: PositiveInt = 32_000
    arena_max_users: PositiveInt = 1_000_000  # users that one worker keeps in memory before it evicts the coldest
    alarms_webhook: str | None = None  # http(s) address of an Alertmanager, which the monitor tells about alarms
    monitor_folder: str | None = (
        None  # where the monitor keeps its state; the folder monitor of THALWEG_HOME by default
    )
    # Share of the events that are ranked over the catalogue. A rank over 1,000,000 items takes 2.4 ms of CPU.
    evaluation_share: Share = 1.0
    http_host: Text = "127.0.0.1"
    http_port: Port = 0  # serves /metrics, /healthz and /readyz
    session_timeout_s: PositiveInt = 10  # after this time, the partitions of a dead worker move to other workers
    # A worker that has work and makes no progress ends after this time. A restart of Kafka or Cassandra takes at most
    # a minute.
    stall_limit_s: PositiveInt = 180
    # Added partitions are read after this time. By then all producers know the partitions: a Kafka client asks for
    # metadata every 5 minutes.
    partition_handover_s: Annotated[int, msgspec.Meta(ge=0)] = 300

    def __post_init__(self) -> None:
        """Raises SettingsError for an address of another form."""
        if self.alarms_webhook is not None and not self.alarms_webhook.startswith(("http://", "https://")):
            raise SettingsError(
                f"setting {setting_label('alarms_webhook')} = {self.alarms_webhook!r} is not an address such as "
                "http://localhost:9093"
            )
        for service in SERVICES:
            addresses(service, getattr(self, service))
            password = getattr(self, f"{service}_password")
            if password is not None:  # a caller may have given the password as plain text
                msgspec.structs.force_setattr(self, f"{service}_password", Secret(password))

    def consumer_group_id(self, bundle_id: str) -> str:
        """The id of the consumer group that reads the behaviour topic for a bundle. Every bundle has its own group."""
        return f"{self.group}-{bundle_id}"

    def bundle_folder(self, argument: str | None) -> str:
        """The folder of the bundle: the argument of the command line, or else the setting `bundle`.

        Raises SettingsError when neither names a folder.
        """
        folder = argument or self.bundle
        if folder is None:
            raise SettingsError(f"no bundle: name its folder with --bundle or {PREFIX}BUNDLE")
        return folder


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
    # The file of the local services is read only for an address that no other source names.
    local = {} if named_services == set(SERVICES) else local_settings(environment)
    for field, value in local.items():
        if field.partition("_")[0] not in named_services:  # a local password must not go to another server
            values.setdefault(field, value)
    for field, value in values.items():
        _check_value(field, value)
    settings = msgspec.convert(values, Settings, strict=False, dec_hook=Secret.read)
    for service in SERVICES:
        _check_user_and_password(settings, service)
    _check_topics(settings)
    return settings


def addresses(setting: str, value: str) -> list[tuple[str, int]]:
    """The (host, port) of each address in a setting. Raises SettingsError for an address that is not host:port."""
    found = []
    for address in value.split(","):
        match = _ADDRESS.fullmatch(address.strip())
        if match is None or not 0 < int(match["port"]) <= 65535:
            raise SettingsError(
                f"setting {setting_label(setting)} = {value!r}: {address.strip()!r} is not host:port; "
                f"write the port too, as in {address.strip().partition(':')[0] or 'localhost'}:"
                f"{'9092' if setting == 'broker' else '9042'}, several separated by commas"
            )
        found.append((match["host"].strip("[]"), int(match["port"])))
    return found


def setting_label(field: str) -> str:
    """A setting in a message: its name, and in brackets its environment variable."""
    return f"{field} ({PREFIX}{field.upper()})"


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


def _check_user_and_password(settings: Settings, service: str) -> None:
    """Raises SettingsError when only one of user and password is set. No server could explain this mistake better."""
    user, password = getattr(settings, f"{service}_user"), getattr(settings, f"{service}_password")
    if user and not password:
        name = f"{PREFIX}{service.upper()}_PASSWORD"
        raise SettingsError(f"{service}_user = {user!r} has no password: set {name}, or {name}_FILE to a file with it")
    if password and not user:
        raise SettingsError(f"{service}_password is set and {service}_user is not: set {PREFIX}{service.upper()}_USER")


def _check_topics(settings: Settings) -> None:
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


def _check_value(field: str, value: object) -> None:
    try:
        msgspec.convert({field: value}, Settings, strict=False, dec_hook=Secret.read)
    except msgspec.ValidationError as error:
        shown = Secret() if field in SECRETS else value
        known = f"; known: {', '.join(get_args(CHOICES[field]))}" if field in CHOICES else ""
        raise SettingsError(f"setting {setting_label(field)} = {shown!r}: {error}{known}") from None
