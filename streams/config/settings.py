"""Every setting of the live system in one typed place. `streams.config.loading` says where the values come from."""

import ipaddress
import re
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit

import msgspec

from streams.config.errors import SettingsError

PREFIX = "THALWEG_"
SERVICES = ("broker", "cassandra")
REGISTRY = "schema_registry"
DAY_MS = 24 * 3600 * 1000
MAX_USER_TTL_DAYS = 7_000  # Cassandra keeps a value with an end for at most 20 years
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Epsilon = Annotated[float, msgspec.Meta(ge=1e-3, le=1e6)]
Delta = Annotated[float, msgspec.Meta(ge=1e-100, lt=1)]
ClipNorm = Annotated[float, msgspec.Meta(ge=1e-6, le=1e6)]
Compression = Literal["gzip", "lz4", "snappy", "zstd", "none"]
Partitioner = Literal["murmur2", "crc32", "fnv1a"]
UpdatesFormat = Literal["json", "avro", "protobuf", "json-schema"]
DeadLetterContent = Literal["encrypted", "dropped"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER", "AWS_MSK_IAM"]
DEFAULT_MECHANISM = "SCRAM-SHA-512"
TOKEN_MECHANISMS = ("OAUTHBEARER", "AWS_MSK_IAM")  # MSK takes its tokens by OAUTHBEARER
# settings with few values
CHOICES: dict[str, Any] = {
    "compression": Compression,
    "partitioner": Partitioner,
    "broker_mechanism": Mechanism,
    "updates_format": UpdatesFormat,
    "dead_letter_content": DeadLetterContent,
}
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
InstanceId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,200}$")]  # as Kafka takes, with room for a number
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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses, names and limits. Port 0 means any free port."""

    broker: str = "127.0.0.1:9092"  # host:port, several separated by commas
    # PEM file of the authority that signed the brokers' certificates, or "system" for public ones; turns TLS on
    broker_ca: str | None = None
    broker_certificate: str | None = None  # PEM file of this client's certificate
    broker_key: str | None = None  # PEM file of the certificate's key, where the key stands in a file of its own
    broker_key_password: Secret | None = None
    broker_mechanism: Mechanism | None = None  # SCRAM-SHA-512 where a user is set
    broker_user: str | None = None  # or the id of the client whose tokens are sent
    broker_password: Secret | None = None  # or the client's secret
    broker_token_url: str | None = None  # OAUTHBEARER: the token endpoint of the issuer
    broker_token_scope: str | None = None
    broker_token_ca: str | None = None  # of the issuer; "system" by default
    broker_token_extensions: str | None = None  # name=value, several separated by commas
    cassandra: str = "127.0.0.1:9042"  # host:port, several separated by commas
    # Where clients reach nodes that announce an address of another network: 10.0.0.5=localhost:19042, several separated
    # by commas
    cassandra_addresses: str | None = None
    cassandra_ca: str | None = None
    cassandra_certificate: str | None = None
    cassandra_key: str | None = None
    cassandra_key_password: Secret | None = None
    cassandra_secure_bundle: str | None = None  # Astra's file of this name, in place of addresses and certificates
    cassandra_local_dc: str | None = None  # the data centre to ask; without a name, that of the node that answers first
    cassandra_user: str | None = None
    cassandra_password: Secret | None = None
    # Address of a schema registry: the values of the behaviour topic then are Avro, Protobuf or JSON with a schema id.
    schema_registry: str | None = None
    schema_registry_ca: str | None = None  # None: the authorities of the system judge an https address
    schema_registry_user: str | None = None
    schema_registry_password: Secret | None = None
    keyspace: Text = "thalweg"
    replication: PositiveInt = 1  # replicas of the keyspace and of the topics that Thalweg creates
    bundle: str | None = None  # folder of the bundle to serve
    group: Text = "thalweg"  # first part of the consumer group's id, see `consumer_group_id`
    # A name that no other worker of the group has at the same time: makes the worker a static member of the group.
    group_instance_id: InstanceId | None = None

    behavior_topic: Text = "behavior.events.v1"
    mapping: str | None = None  # preset or TOML file by which the behaviour topic is read; None: the event contract
    pseudonym_key: str | None = None  # file of the key that turns user ids into pseudonyms; None: ids stay as they are
    dead_letter_content: DeadLetterContent = "encrypted"  # what becomes of the original where a pseudonym_key is set
    dead_letter_topic: Text = "behavior.events.v1.dlq"
    updates_topic: Text = "representations.updates.v1"
    updates_format: UpdatesFormat = "json"  # the others have a schema in the schema registry
    # Noise on the vectors of updates, for a stated (epsilon, delta) of one update: docs/private-vectors.md. All four
    # are set, or none.
    updates_noise_epsilon: Epsilon | None = None
    updates_noise_delta: Delta | None = None
    updates_noise_clip_norm: ClipNorm | None = None  # longest distance from the vector of a user without history
    updates_noise_key: str | None = None  # file of the secret key that determines the noise
    evaluation_topic: Text = "evaluation.events.v1"
    metrics_topic: Text = "evaluation.metrics.v1"
    alarms_topic: Text = "evaluation.alarms.v1"
    predictions_topic: Text = "evaluation.predictions.v1"
    comparisons_topic: Text = "evaluation.comparisons.v1"
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
    # A user without an event for so many days is forgotten: docs/privacy.md#forget-users-who-stay-away.
    # Everything that steps users of a keyspace needs the same value.
    user_ttl_days: Annotated[int, msgspec.Meta(ge=1, le=MAX_USER_TTL_DAYS)] | None = None
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
        if self.schema_registry is not None:
            check_registry_address(self.schema_registry)
        for service in SERVICES:
            addresses(service, getattr(self, service))
        translated_addresses(self.cassandra_addresses)
        for field in SECRETS:
            if getattr(self, field) is not None:  # a caller may have given the secret as plain text
                msgspec.structs.force_setattr(self, field, Secret(getattr(self, field)))

    @property
    def user_ttl_ms(self) -> int | None:
        """How long a user may stay away before the user's history expires, in milliseconds of record timestamps."""
        return None if self.user_ttl_days is None else self.user_ttl_days * DAY_MS

    @property
    def mechanism(self) -> str | None:
        """How clients log in to Kafka: the mechanism of SASL. None where clients log in without SASL."""
        return self.broker_mechanism or (DEFAULT_MECHANISM if self.broker_user else None)

    def place_of(self, service: str) -> str:
        """Where a service is, in words for a message."""
        if service == "cassandra" and self.cassandra_secure_bundle:
            return f"the secure connect bundle {self.cassandra_secure_bundle}"
        place: str = getattr(self, service)
        return place

    def consumer_group_id(self, bundle_id: str) -> str:
        """The id of the consumer group that reads the behaviour topic for a bundle. Every bundle has its own group."""
        return f"{self.group}-{bundle_id}"

    def bundle_updates_topic(self, bundle_id: str, is_first: bool) -> str:
        """The topic of a bundle's updates: the setting for the first bundle of a keyspace, or else a topic of its own.

        So a reader of the first bundle's topic gets no update of a bundle that runs beside the first one for a trial,
        and everything that a bundle published goes with its topic.
        """
        return self.updates_topic if is_first else f"{self.updates_topic}.{bundle_id}"

    def bundle_folder(self, argument: str | None) -> str:
        """The folder of the bundle: the argument of the command line, or else the setting `bundle`.

        Raises SettingsError when neither names a folder.
        """
        folder = argument or self.bundle
        if folder is None:
            raise SettingsError(f"no bundle: name its folder with --bundle or {PREFIX}BUNDLE")
        return folder


def has_own_topic(updates_topic: str, bundle_id: str) -> bool:
    """Whether this is the topic that `Settings.bundle_updates_topic` gives to a bundle that is not the first."""
    return updates_topic.endswith(f".{bundle_id}")


SECRETS = tuple(name for name, kind in get_type_hints(Settings).items() if kind == Secret | None)


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


def translated_addresses(value: str | None) -> dict[str, tuple[str, int]]:
    """The (host, port) by which clients reach a node, by the address that the node announces.

    Raises SettingsError for a part of the setting `cassandra_addresses` that is not announced=host:port.
    """
    found: dict[str, tuple[str, int]] = {}
    for part in () if value is None else value.split(","):
        announced, _, place = (text.strip() for text in part.partition("="))
        match = _ADDRESS.fullmatch(place)
        try:
            node = str(ipaddress.ip_address(announced))
        except ValueError:
            node = ""
        if not node or match is None or not 0 < int(match["port"]) <= 65535:
            raise SettingsError(
                f"setting {setting_label('cassandra_addresses')} = {value!r}: {part.strip()!r} is not "
                "announced=host:port; write the IP address that a node announces, and where clients reach the node, "
                "as in 10.0.0.5=localhost:19042, several separated by commas"
            )
        if node in found:
            raise SettingsError(
                f"setting {setting_label('cassandra_addresses')} = {value!r} names {announced} twice: keep one"
            )
        found[node] = match["host"].strip("[]"), int(match["port"])
    return found


def check_registry_address(value: str) -> None:
    """Raises SettingsError for an address that is not http(s)://host, or that holds a user and a password."""
    try:
        parts = urlsplit(value)
    except ValueError:  # a bracket without the other one
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"setting {setting_label(REGISTRY)} = {value!r} is not an address such as http://localhost:8081"
        )
    if "@" in parts.netloc:  # Addresses stand in messages and in logs.
        raise SettingsError(
            f"setting {setting_label(REGISTRY)} holds a user: name the address without the user, and set "
            f"{PREFIX}SCHEMA_REGISTRY_USER and {PREFIX}SCHEMA_REGISTRY_PASSWORD"
        )


def setting_label(field: str) -> str:
    """A setting in a message: its name, and in brackets its environment variable."""
    return f"{field} ({PREFIX}{field.upper()})"
