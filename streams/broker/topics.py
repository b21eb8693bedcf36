"""Topics: created where missing, checked where they exist, and described with their offsets."""

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidPartitionsError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from streams.broker.error_codes import describe
from streams.broker.topic_settings import PlannedTopic, check_topic_settings, output_topics, planned_topics
from streams.config.connection_faults import check_broker_login
from streams.config.errors import BrokerError, RightsError, SettingsError
from streams.config.security import kafka_python_arguments
from streams.config.settings import Settings

CONNECT_TIMEOUT_MS = 5_000
READY_TIMEOUT_MS = 30_000
ID_TIMEOUT_MS = 3_000  # A stop of the worker waits for a request that is under way.
NO_BROKER_REMEDY = "start one with `thalweg up` or set THALWEG_BROKER"


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it is now. A topic that was deleted and made again has another `topic_id`.

    start_offsets: by partition, the first offset that is still there.
    stable_offsets: by partition, the first offset of a transaction that is still open, or the end. Readers of committed
    records read up to here.
    end_offsets: by partition, the next offset to be written.
    committed: by partition, the next offset that the group reads; absent where the group has committed none. A commit
    that belongs to an earlier incarnation of the topic is left out.
    """

    name: str
    topic_id: uuid.UUID
    partitions: int
    start_offsets: dict[int, int]
    stable_offsets: dict[int, int]
    end_offsets: dict[int, int]
    committed: dict[int, int]

    @property
    def records(self) -> int:
        """The number of offsets in the topic, also of records that compaction or a transaction took out."""
        return sum(self.end_offsets.values()) - sum(self.start_offsets.values())

    @property
    def lag(self) -> int:
        """The number of records that the group can read and has not committed yet."""
        return sum(max(0, stable - self.passed[partition]) for partition, stable in self.stable_offsets.items())

    @property
    def passed(self) -> dict[int, int]:
        """By partition, the offset before which the group has nothing left to read."""
        return {
            partition: max(start, self.committed.get(partition, 0)) for partition, start in self.start_offsets.items()
        }

    def with_ends_of(self, later: "Topic") -> "Topic":
        """The topic with its commits as they were, and with the beginnings and the ends of a later look."""
        return msgspec.structs.replace(
            self,
            start_offsets=later.start_offsets,
            stable_offsets=later.stable_offsets,
            end_offsets=later.end_offsets,
        )


@contextlib.contextmanager
def broker_admin(settings: Settings, **options: Any) -> Iterator[Any]:
    """A connected admin client of kafka-python. A KafkaError inside the block becomes a BrokerError.

    Raises SettingsError where the broker does not take the user, or one side does not trust the other.
    """
    admin = None
    try:
        if settings.mechanism or settings.broker_ca:
            check_broker_login(settings)  # The admin client would repeat a refused login for CONNECT_TIMEOUT_MS.
        admin = KafkaAdminClient(bootstrap_timeout_ms=CONNECT_TIMEOUT_MS, **options, **kafka_python_arguments(settings))
        yield admin
    except KafkaError as error:
        why = describe(error)
        if admin is None:
            check_broker_login(settings)
            raise BrokerError(f"no broker answers at {settings.broker}: {why}; {NO_BROKER_REMEDY}") from error
        raise BrokerError(f"the broker refused a request at {settings.broker}: {why}") from error
    finally:
        if admin is not None:
            admin.close()


def check_broker(settings: Settings) -> None:
    """Connect once. aiokafka alone would log the reason of a failure only. Raises BrokerError, SettingsError."""
    with broker_admin(settings):
        pass


def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing, and wait until each topic can be used.

    Outputs of partition p go to partition p, so an output topic has as many partitions as the behaviour topic. An
    output topic with fewer partitions gets more. `settings.partitions` counts only where the behaviour topic is created
    here. Raises SettingsError where an output topic has more partitions or the cleanup policy of a topic loses records,
    RightsError where the user lacks a right, and BrokerError where the broker does not answer.
    """
    with broker_admin(settings) as admin:
        _create(admin, settings, [settings.behavior_topic], settings.partitions)
        partitions = len(topic_metadata(admin, settings.behavior_topic, READY_TIMEOUT_MS / 1000)["partitions"])
        outputs = output_topics(settings)
        _create(admin, settings, [*outputs, settings.metrics_topic], partitions)
        for name in outputs:
            count = len(topic_metadata(admin, name, READY_TIMEOUT_MS / 1000)["partitions"])
            if count > partitions:
                raise SettingsError(
                    f"topic {name} has {count} partitions and {settings.behavior_topic} has {partitions}: an output "
                    f"topic must have as many; add partitions to {settings.behavior_topic} or name another topic"
                )
            if count < partitions:
                _grow(admin, name, partitions)
        check_topic_settings(admin, settings, [settings.behavior_topic, *outputs, settings.metrics_topic])


def ensure_catalogue_topic(settings: Settings) -> int:
    """Create the topic of the catalogue where it is missing, and return its number of partitions when it can be used.

    Raises SettingsError where the cleanup policy loses items, and RightsError and BrokerError as `ensure_topics` does.
    """
    with broker_admin(settings) as admin:
        _create(admin, settings, [settings.catalogue_topic], settings.partitions)
        check_topic_settings(admin, settings, [settings.catalogue_topic])
        return len(topic_metadata(admin, settings.catalogue_topic, READY_TIMEOUT_MS / 1000)["partitions"])


def ensure_monitor_topics(settings: Settings) -> None:
    """Create the topics of alarms, of other systems' predictions and of comparisons where they are missing.

    Raises SettingsError where the cleanup policy of one of these topics loses records, and RightsError and BrokerError
    as `ensure_topics` does.
    """
    names = [settings.alarms_topic, settings.predictions_topic, settings.comparisons_topic]
    with broker_admin(settings) as admin:
        _create(admin, settings, names, settings.partitions)
        check_topic_settings(admin, settings, names)


def ensure_topic(settings: Settings, name: str, partitions: int) -> None:
    """Create one topic where it is missing, and wait until the topic can be used. Raises BrokerError."""
    with broker_admin(settings) as admin:
        _create_planned(admin, {name: PlannedTopic(partitions, settings.replication)})


def describe_topic(settings: Settings, name: str, group: str | None = None) -> Topic:
    """The topic with its offsets and the commits of `group`. Raises BrokerError, also where there is no such topic."""
    with broker_admin(settings) as admin:
        return _described(admin, settings, name, group)


class TopicWatch:
    """Describes one topic again and again over one connection. Any thread may call the methods."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._connection = contextlib.ExitStack()
        self._admin: Any = None
        self._lock = threading.Lock()

    def describe(self, group: str | None) -> Topic:
        """The topic as of `describe_topic`. Blocks. Raises BrokerError; the next call then connects anew."""
        with self._lock:
            try:
                if self._admin is None:
                    connected = broker_admin(self._settings, request_timeout_ms=CONNECT_TIMEOUT_MS)
                    self._admin = self._connection.enter_context(connected)
                return _described(self._admin, self._settings, self._name, group)
            except KafkaError as error:
                self._disconnect()
                raise BrokerError(f"topic {self._name} could not be described: {describe(error)}") from error

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        self._admin = None
        self._connection.close()


def topic_exists(settings: Settings, name: str) -> bool:
    """Raises BrokerError."""
    with broker_admin(settings) as admin:
        return name in admin.list_topics()


class TopicIdReader:
    """Reads the id of one topic again and again over one connection. Any thread may call the methods."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._admin: Any = None
        self._lock = threading.Lock()

    def read(self) -> uuid.UUID:
        """The topic's id now. Blocks, for up to twice ID_TIMEOUT_MS. Raises BrokerError."""
        with self._lock:
            try:
                if self._admin is None:
                    self._admin = KafkaAdminClient(
                        bootstrap_timeout_ms=ID_TIMEOUT_MS,
                        request_timeout_ms=ID_TIMEOUT_MS,
                        **kafka_python_arguments(self._settings),
                    )
                return uuid.UUID(str(topic_metadata(self._admin, self._name)["topic_id"]))
            except KafkaError as error:
                self._disconnect()
                raise BrokerError(f"the id of topic {self._name} could not be read: {error!r}") from error

    def close(self) -> None:
        """Close the connection. Does not wait for a `read` that is under way."""
        if self._lock.acquire(blocking=False):
            self._disconnect()
            self._lock.release()

    def _disconnect(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()


def _create(admin: Any, settings: Settings, names: Sequence[str], partitions: int) -> None:
    """Create those of Thalweg's topics that do not exist. partitions: of the behaviour topic, see `planned_topics`."""
    planned = planned_topics(settings, partitions)
    _create_planned(admin, {name: planned[name] for name in names})


def _create_planned(admin: Any, planned: Mapping[str, PlannedTopic]) -> None:
    """Create the topics that do not exist. Another process may create them at the same time."""
    existing, names = set(admin.list_topics()), list(planned)
    missing = {
        name: {"num_partitions": one.partitions, "replication_factor": one.replication, "configs": one.configs}
        for name, one in planned.items()
        if name not in existing
    }
    if missing:
        for answer in admin.create_topics(missing, raise_errors=False)["topics"]:
            error = for_code(answer["error_code"])
            if error is TopicAuthorizationFailedError:
                raise RightsError(
                    f"topic {answer['name']} was not created: {error.__name__}; give the user Describe on the topic if "
                    "it exists, or else Create; or run `thalweg setup` with an administrator's login"
                )
            if answer["error_code"] and error is not TopicAlreadyExistsError:
                why = f"{describe(error())}; {answer['error_message']}"
                raise BrokerError(f"topic {answer['name']} was not created: {why}")
    admin.wait_for_topics(list(names), timeout_ms=READY_TIMEOUT_MS)


def _grow(admin: Any, name: str, partitions: int) -> None:
    """Add partitions. Another process may add them at the same time."""
    try:
        with contextlib.suppress(InvalidPartitionsError):
            admin.create_partitions({name: partitions})
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError) as error:
        raise RightsError(
            f"topic {name} needs {partitions} partitions: {type(error).__name__}; give the user Alter on topic {name}, "
            "or run `thalweg setup` with an administrator's login"
        ) from None
    give_up_at = time.monotonic() + READY_TIMEOUT_MS / 1000
    while len(topic_metadata(admin, name, READY_TIMEOUT_MS / 1000)["partitions"]) < partitions:
        if time.monotonic() > give_up_at:
            raise BrokerError(f"topic {name} did not get {partitions} partitions within {READY_TIMEOUT_MS} ms")
        time.sleep(0.1)


def topic_metadata(admin: Any, name: str, wait_s: float = 0.0) -> dict[str, Any]:
    """wait_s: how long a broker may need to hear of a topic that another broker has made."""
    give_up_at = time.monotonic() + wait_s
    while True:
        metadata: dict[str, Any] = admin.describe_topics([name])[0]
        error = for_code(metadata["error_code"])
        if error is not UnknownTopicOrPartitionError or time.monotonic() >= give_up_at:
            break
        time.sleep(0.1)
    if metadata["error_code"]:
        raise error(name)
    return metadata


def _offsets(admin: Any, partitions: list[Any], spec: Any, isolation_level: str = "read_uncommitted") -> dict[int, int]:
    found = admin.list_partition_offsets(dict.fromkeys(partitions, spec), isolation_level=isolation_level)
    return {tp.partition: found[tp].offset for tp in partitions}


def _is_of(commit: Any, topic_id: uuid.UUID, end: int) -> bool:
    """True where the commit belongs to the topic with this id, whose partition ends at `end`.

    A worker writes the topic's id into the metadata of a commit. Other tools leave the metadata empty.
    """
    return commit.offset <= end and (commit.metadata or "") in ("", str(topic_id))


def _commits(admin: Any, group: str, partitions: list[Any]) -> dict[int, Any]:
    """By partition, the group's OffsetAndMetadata."""
    give_up_at = time.monotonic() + READY_TIMEOUT_MS / 1000
    while True:
        try:
            offsets = admin.list_group_offsets({group: partitions})[group]
        except KafkaError as error:
            # A new broker creates its offsets topic at the first request for a group, and refuses that request.
            if not error.retriable or time.monotonic() > give_up_at:
                raise
            time.sleep(0.2)
        else:
            return {tp.partition: at for tp, at in offsets.items() if at.offset >= 0}


def _described(admin: Any, settings: Settings, name: str, group: str | None) -> Topic:
    try:
        metadata = topic_metadata(admin, name)
    except UnknownTopicOrPartitionError:
        raise BrokerError(
            f"there is no topic {name} at {settings.broker}: check the name, or start a worker, which creates it"
        ) from None
    partitions = [TopicPartition(name, part["partition_index"]) for part in metadata["partitions"]]
    topic_id = uuid.UUID(str(metadata["topic_id"]))
    commits = {} if group is None else _commits(admin, group, partitions)
    end_offsets = _offsets(admin, partitions, OffsetSpec.LATEST)
    return Topic(
        name=name,
        topic_id=topic_id,
        partitions=len(partitions),
        start_offsets=_offsets(admin, partitions, OffsetSpec.EARLIEST),
        stable_offsets=_offsets(admin, partitions, OffsetSpec.LATEST, "read_committed"),
        end_offsets=end_offsets,
        committed={p: at.offset for p, at in commits.items() if _is_of(at, topic_id, end_offsets[p])},
    )
