"""A check that failed as one line: what is away or wrong, in words, and what to do."""

import aiokafka.errors
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError

from streams.broker.error_codes import REMEDIES
from streams.broker.topics import NO_BROKER_REMEDY
from streams.commands.doctor.finding import Finding
from streams.config.errors import BrokerError, RegistryError, StoreError, ThalwegError
from streams.store.protocol.cluster import NO_NODE_REMEDY
from streams.store.protocol.driver_errors import few_replicas
from streams.store.rights import UNREAD_ROLES

AGAIN = "and run `thalweg doctor` again"
START_NODE = f"start a node of Cassandra, {AGAIN}"
# What an error's text ends with where a service is away.
_AWAY = (NO_BROKER_REMEDY, NO_NODE_REMEDY, UNREAD_ROLES)
_GRANT = "; run as an administrator: "
_NO_ANSWER = (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    aiokafka.errors.KafkaConnectionError,
    aiokafka.errors.KafkaTimeoutError,
    aiokafka.errors.NodeNotReadyError,
)
_BROKER_REMEDY = (
    "start the broker, or let this machine reach the address that the broker announces (advertised.listeners); others "
    f"take over the partitions of a broker that ended a moment ago: wait 10 s, {AGAIN}"
)
# The remedies of errors that name none, because the server alone knows more.
_REMEDIES: dict[type[ThalwegError], str] = {
    BrokerError: f"look at the logs of the brokers, {AGAIN}",
    StoreError: f"look at the logs of the nodes of Cassandra, {AGAIN}",
    RegistryError: f"start the schema registry, or look at the registry's log and at THALWEG_SCHEMA_REGISTRY, {AGAIN}",
}


class ServiceAwayError(ThalwegError):
    """So much of a service is away that no further check of the service says anything new."""

    retryable = True

    def __init__(self, subject: str, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.finding = Finding("failed", subject, detail, remedy)


def finding_of(subject: str, error: ThalwegError) -> Finding:
    """The failure of a check of this subject."""
    if isinstance(error, ServiceAwayError):
        return error.finding
    detail, remedy = _divided(str(error))
    if not remedy and isinstance(error, StoreError) and few_replicas(error) is not None:
        return Finding("failed", "cassandra nodes", detail, START_NODE)
    cause = error.__cause__
    if not remedy and isinstance(error, BrokerError) and isinstance(cause, _NO_ANSWER):
        detail, remedy = f"a broker does not answer ({', '.join(map(str, cause.args))})", _BROKER_REMEDY
    return Finding("failed", subject, detail, remedy or _REMEDIES.get(type(error), ""))


def _divided(text: str) -> tuple[str, str]:
    """The text of an error without its remedy, and the remedy. The remedy is empty where the text ends with none."""
    for remedy in (*_AWAY, *REMEDIES.values()):
        if text.endswith(f"; {remedy}"):
            return text.removesuffix(f"; {remedy}"), remedy
    detail, mark, grant = text.partition(_GRANT)
    return detail, f"{mark}{grant}".removeprefix("; ")


def is_away(error: ThalwegError) -> bool:
    """True where the service is away, so that a further check of the service would fail in the same way."""
    lacks_replicas = isinstance(error, StoreError) and few_replicas(error) is not None
    return isinstance(error, ServiceAwayError) or str(error).endswith(_AWAY) or lacks_replicas
