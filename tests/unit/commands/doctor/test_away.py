"""What `thalweg doctor` says where brokers or nodes are away: one failure of one cause, in words, with a remedy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cassandra import ConsistencyLevel, Unavailable
from cassandra.cluster import NoHostAvailable
from kafka.errors import KafkaConnectionError

from streams.broker.error_codes import REMEDIES
from streams.broker.topics import NO_BROKER_REMEDY
from streams.commands.doctor import command
from streams.commands.doctor.broker_checks import brokers_finding, check_majority, too_few_brokers
from streams.commands.doctor.cassandra_checks import nodes_finding
from streams.commands.doctor.failures import START_NODE, ServiceAwayError, finding_of, is_away
from streams.commands.doctor.finding import Finding
from streams.config.errors import BrokerError, RegistryError, SettingsError, StoreError, ThalwegError
from streams.config.settings import Settings
from streams.store.protocol.cluster import NO_NODE_REMEDY
from streams.store.protocol.driver_errors import FewReplicas
from streams.store.rights import UNREAD_ROLES
from tests.support.bundles import tiny_bundle

THREE = [{"broker_id": number, "host": f"127.0.0.{number}", "port": 9092} for number in (1, 2, 3)]
QUORUM = FewReplicas("LOCAL_QUORUM", 2, 1)


def topic(in_sync: list[int]) -> dict[str, Any]:
    return {"partitions": [{"replica_nodes": [1, 2, 3], "isr_nodes": in_sync}] * 2}


def test_without_a_majority_of_the_brokers_one_failure_names_those_that_are_away() -> None:
    with pytest.raises(ServiceAwayError) as failed:
        check_majority(THREE, THREE[1:])
    found = finding_of("broker", failed.value)
    assert (found.state, found.subject) == ("failed", "broker")
    assert found.detail == "1 of 3 reached (away: 127.0.0.2:9092, 127.0.0.3:9092)"
    assert found.remedy.startswith("start the brokers")
    check_majority(THREE, THREE[1:2])


@pytest.mark.parametrize(
    ("unreached", "fenced", "in_sync", "state", "detail"),
    [
        ([], [], [1, 2, 3], "ok", "3 of 3 reached at localhost:9092"),
        ([1], [], [1, 3], "note", "2 of 3 reached at localhost:9092; node 2 is away or behind, and 2 partitions"),
        ([], [1], [1, 2, 3], "note", "3 of 3 reached at localhost:9092; node 2 is away or behind, and 0 partitions"),
        ([], [], [1], "note", "3 of 3 reached at localhost:9092; nodes 2, 3 are away or behind, and 2 partitions"),
    ],
)
def test_a_broker_that_is_away_has_its_number(
    unreached: list[int], fenced: list[int], in_sync: list[int], state: str, detail: str
) -> None:
    brokers = [{**one, "is_fenced": place in fenced} for place, one in enumerate(THREE)]
    found = brokers_finding(
        Settings(broker="localhost:9092"), brokers, [brokers[place] for place in unreached], [topic(in_sync)]
    )
    assert (found.state, found.detail.startswith(detail)) == (state, True), found.detail
    assert bool(found.remedy) == (state == "note")


def test_more_replicas_than_brokers_may_also_want_more_brokers() -> None:
    found = too_few_brokers(Settings(broker="b:1", replication=3), 1)
    assert found.detail == "1 broker at b:1 and replication = 3"
    assert found.remedy.endswith("or add brokers")


def test_without_a_quorum_of_the_nodes_the_failure_says_how_many_replicas_a_row_needs() -> None:
    with pytest.raises(ServiceAwayError) as failed:
        nodes_finding(["127.0.0.2:9042", "127.0.0.3:9042"], 3, QUORUM)
    found = finding_of("cassandra", failed.value)
    assert (found.state, found.subject, found.remedy) == ("failed", "cassandra nodes", START_NODE)
    reached = "1 of 3 reached (away: 127.0.0.2:9042, 127.0.0.3:9042)"
    assert found.detail == f"{reached}, and LOCAL_QUORUM needs 2 replicas of a row, and 1 answers"


def test_a_node_that_is_away_is_a_note_while_the_quorum_lives() -> None:
    found = nodes_finding(["127.0.0.3:9042"], 3, None)
    assert (found.state, found.detail) == ("note", "2 of 3 reached (away: 127.0.0.3:9042)")
    assert found.remedy.startswith("start the node")
    assert nodes_finding([], 3, None) == Finding("ok", "cassandra nodes", "3 of 3 reached")


def caused(error: ThalwegError, cause: Exception) -> ThalwegError:
    error.__cause__ = cause
    return error


UNAVAILABLE = Unavailable("Error from server", ConsistencyLevel.LOCAL_QUORUM, 2, 1)


@pytest.mark.parametrize(
    ("error", "detail", "remedy", "away"),
    [
        (BrokerError(f"no broker answers at b:1: why; {NO_BROKER_REMEDY}"), "no broker", NO_BROKER_REMEDY, True),
        (StoreError(f"no Cassandra answers at c:1: why; {NO_NODE_REMEDY}"), "no Cassandra", NO_NODE_REMEDY, True),
        (StoreError(f"no node could check the login; {UNREAD_ROLES}"), "no node could", UNREAD_ROLES, True),
        (
            caused(BrokerError("refused: KafkaConnectionError('111')"), KafkaConnectionError("111 ECONNREFUSED")),
            "a broker does not answer",
            "start the broker",
            False,
        ),
        (BrokerError("the broker refused a request"), "the broker refused", "look at the logs of the brokers", False),
        (
            caused(StoreError("failed to read"), NoHostAvailable("Unable", {"n": UNAVAILABLE})),
            "failed to read",
            START_NODE,
            True,
        ),
        (
            StoreError("refused; run as an administrator: GRANT A ON b"),
            "refused",
            "run as an administrator: GRANT",
            False,
        ),
        (BrokerError(f"[Error 29] refused; {REMEDIES[29]}"), "[Error 29] refused", REMEDIES[29], False),
        (StoreError("Cassandra failed"), "Cassandra failed", "look at the logs of the nodes", False),
        (
            RegistryError("the schema registry does not answer"),
            "the schema registry",
            "start the schema registry",
            False,
        ),
        (SettingsError("keyspace = 'x' is wrong; set another"), "keyspace = 'x' is wrong; set another", "", False),
    ],
)
def test_every_error_of_a_service_has_a_remedy(error: ThalwegError, detail: str, remedy: str, away: bool) -> None:
    found = finding_of("broker", error)
    assert found.state == "failed"
    assert found.detail.startswith(detail)
    assert found.remedy.startswith(remedy)
    assert bool(found.remedy) == bool(remedy)
    assert "('" not in found.detail
    assert is_away(error) == away


@pytest.mark.parametrize("lacks", [True, False])
def test_the_rights_are_not_checked_while_the_service_is_away(
    lacks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> Iterator[Finding]:
        if lacks:
            raise ServiceAwayError("broker", "1 of 3 reached", "start the brokers")
        yield Finding("ok", "broker", "3 of 3 reached")

    def refused(*_: object) -> Iterator[Finding]:
        raise BrokerError("a broker refused the question about rights")

    for name in ("check_broker", "check_cassandra"):
        monkeypatch.setattr(command, name, without)
    for name in ("check_kafka_rights", "check_cassandra_rights"):
        monkeypatch.setattr(command, name, refused)
    bundle = tiny_bundle(tmp_path / "bundle", items=20)
    found = list(command.examine(Settings(http_port=0), str(bundle.path)))
    rights = [one for one in found if one.subject == "rights"]
    assert [one.state for one in rights] == ["note" if lacks else "failed"] * 2
    assert all(("are not checked, because" in one.detail) == lacks and one.remedy for one in rights)
