"""One node and three nodes: their configuration, their addresses, and the data that other numbers of nodes made."""

import errno
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.local.cassandra.configuration import cassandra_yaml
from streams.local.cassandra.java_options import java_options
from streams.local.errors import LocalServiceError
from streams.local.kafka.configuration import server_properties
from streams.local.kafka.storage import cluster_id, format_storage
from streams.local.nodes import Node, check_count, node_hosts
from streams.local.process.ports import PORT_RANGE, free_ports, is_free

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
ALONE = Node(1, HOSTS[:1])
THREE = [Node(number, HOSTS) for number in (1, 2, 3)]
PORTS = {"kafka": 21_001, "kafka_controller": 21_002, "cassandra": 21_003, "cassandra_storage": 21_004}


def properties_of(node: Node) -> dict[str, str]:
    lines = server_properties(node, PORTS, Path("/data"), None).splitlines()
    return dict(line.split("=", 1) for line in lines)


def yaml_of(node: Node) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(cassandra_yaml(node, Path("/data"), PORTS, None))
    return read


def test_a_single_broker_keeps_one_copy() -> None:
    found = properties_of(ALONE)
    copies = {name: value for name, value in found.items() if name.endswith(("replication.factor", "min.isr"))}
    assert set(copies.values()) == {"1"}
    assert (found["min.insync.replicas"], found["controlled.shutdown.enable"]) == ("1", "false")
    assert (found["node.id"], found["controller.quorum.voters"]) == ("1", "1@127.0.0.1:21002")


def test_three_brokers_keep_three_copies_and_go_on_with_two() -> None:
    for node, host in zip(THREE, HOSTS, strict=True):
        found = properties_of(node)
        assert found["node.id"] == str(node.number)
        assert found["listeners"] == f"PLAINTEXT://{host}:21001,CONTROLLER://{host}:21002"
        assert found["controller.quorum.voters"] == "1@127.0.0.1:21002,2@127.0.0.2:21002,3@127.0.0.3:21002"
        assert {value for name, value in found.items() if name.endswith("replication.factor")} == {"3"}
        assert {value for name, value in found.items() if name.endswith(("min.isr", "insync.replicas"))} == {"2"}
        assert found["controlled.shutdown.enable"] == "true"


def test_nodes_of_cassandra_have_places_of_their_own_on_the_ring_and_know_each_other() -> None:
    found = [yaml_of(node) for node in THREE]
    tokens = sorted(one["initial_token"] for one in found)
    assert len({after - before for before, after in pairwise(tokens)}) <= 2, "even parts"
    assert min(abs(after - before) for before, after in pairwise(tokens)) > 2**62
    for one, host in zip(found, HOSTS, strict=True):
        assert (one["listen_address"], one["rpc_address"]) == (host, host)
        seeds = one["seed_provider"][0]["parameters"][0]["seeds"]
        assert seeds == "127.0.0.1:21004,127.0.0.2:21004,127.0.0.3:21004"
        assert one["hinted_handoff_enabled"] is True
    assert yaml_of(ALONE)["hinted_handoff_enabled"] is False
    assert -(2**63) < yaml_of(ALONE)["initial_token"] < 2**63


def test_every_node_of_cassandra_knows_the_users(tmp_path: Path) -> None:
    jars = [Path("jamm-1.jar")]
    for node, copies in ((ALONE, 1), (THREE[0], 3)):
        options = java_options(node, tmp_path, tmp_path / "cassandra.yaml", tmp_path / "logback.xml", jars)
        assert f"-Dcassandra.system_auth.default_rf={copies}" in options


def test_the_storages_of_one_cluster_have_one_id(tmp_path: Path) -> None:
    for node in THREE:
        format_storage(node, tmp_path / f"kafka{node.suffix}" / "log", cluster_id(tmp_path))
    texts = [file.read_text().splitlines() for file in sorted(tmp_path.glob("*/log/meta.properties"))]
    assert [text[1] for text in texts] == ["node.id=1", "node.id=2", "node.id=3"]
    assert len({text[2] for text in texts}) == 1
    assert len({text[3] for text in texts}) == 3, "each folder has an id of its own"
    assert cluster_id(tmp_path / "other") != cluster_id(tmp_path)


def test_a_port_is_free_only_where_it_is_free_on_each_address() -> None:
    with socket.create_server(("127.0.0.1", free_ports(["one"])["one"])) as server:
        port = server.getsockname()[1]
        assert not is_free(port, ["127.0.0.1"])
        assert not is_free(port, ["127.0.0.1", "127.0.0.1"])
    assert free_ports(["one"], ["127.0.0.1"])["one"] in PORT_RANGE


def test_an_address_that_the_machine_lacks_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = socket.socket.bind

    class MacSocket(socket.socket):
        def bind(self, address: Any) -> None:
            if address[0] != "127.0.0.1":
                raise OSError(errno.EADDRNOTAVAIL, "Can't assign requested address")
            bind(self, address)

    monkeypatch.setattr(socket, "socket", MacSocket)
    assert node_hosts(1) == ["127.0.0.1"]
    with pytest.raises(
        LocalServiceError, match=r"3 nodes need the address 127\.0\.0\.2.*ifconfig lo0 alias 127\.0\.0\.2"
    ):
        node_hosts(3)


def test_the_data_of_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    check_count(tmp_path, 1)
    check_count(tmp_path, 3)
    (tmp_path / "kafka").mkdir()
    check_count(tmp_path, 1)
    with pytest.raises(LocalServiceError, match=r"--nodes 1: use --nodes 1 again.*down --wipe"):
        check_count(tmp_path, 3)
    (tmp_path / "kafka-3").mkdir()
    check_count(tmp_path, 3)
    with pytest.raises(LocalServiceError, match="made with --nodes 3"):
        check_count(tmp_path, 1)
