"""Faults of the network between the workers and one node of a cluster. The other nodes still reach that node."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from streams.config.settings import addresses
from streams.local.process.ports import free_ports
from streams.local.process.service_process import ServiceProcess
from tests.faults.registry import scenario
from tests.faults.scenarios.cluster import NODES, OUTAGE_S
from tests.faults.trial import Trial
from tests.support.stream.cut_proxy import CutProxy

PROXY_HOST = "127.0.0.1{}"  # of the node with this number


@scenario(nodes=NODES, alone=True, small={"faults": 2, "outage_s": OUTAGE_S}, long={"faults": 4, "outage_s": OUTAGE_S})
def cassandra_node_cut_off(trial: Trial) -> None:
    """The network between the workers and a node of Cassandra breaks: no connection ends, and nothing arrives."""
    with _cassandra_behind_proxies(trial) as proxies:
        _cut_in_turn(trial, "cassandra", proxies)


@scenario(
    nodes=NODES,
    alone=True,
    keeps_quorum=False,
    small={"faults": 2, "outage_s": OUTAGE_S},
    long={"faults": 4, "outage_s": OUTAGE_S},
)
def broker_cut_off(trial: Trial) -> None:
    """The network between the workers and a broker breaks. The other brokers still reach the broker.

    So the broker stays the leader of its partitions, and those stand still until the network is back.
    """
    with _brokers_behind_proxies(trial) as proxies:
        _cut_in_turn(trial, "kafka", proxies)


def _cut_in_turn(trial: Trial, service: str, proxies: list[CutProxy]) -> None:
    trial.under_load(workers=2)
    for number in range(trial.size.faults):
        trial.wait_for_next_fault()
        proxy = proxies[number % NODES]
        with trial.fault(f"{trial.services.nodes[service][number % NODES].name} is cut off"):
            proxy.cut()
            time.sleep(trial.size.outage_s)
            proxy.mend()
        trial.wait_for_recovery()
    trial.drain()
    trial.stop_workers()


def _restart_with(node: ServiceProcess, file: str, text: str) -> None:
    node.stop()
    node.log.with_name(file).write_text(text)
    node.start()


@contextmanager
def _brokers_behind_proxies(trial: Trial) -> Iterator[list[CutProxy]]:
    """Give each broker a listener for the workers alone, whose advertised address is that of a proxy."""
    file, nodes = "server.properties", trial.services.nodes["kafka"]
    before = [node.log.with_name(file).read_text() for node in nodes]
    port = free_ports(["workers"])["workers"]
    with ExitStack() as stack:
        proxies = []
        for number, (node, text) in enumerate(zip(nodes, before, strict=True), start=1):
            host, told = node.address.partition(":")[0], PROXY_HOST.format(number)
            proxies.append(stack.enter_context(CutProxy(told, port, host, port)))
            listeners = dict(line.split("=", 1) for line in text.splitlines() if "listener" in line)
            own = [
                f"listeners={listeners['listeners']},WORKERS://{host}:{port}",
                f"advertised.listeners={listeners['advertised.listeners']},WORKERS://{told}:{port}",
                f"listener.security.protocol.map={listeners['listener.security.protocol.map']},WORKERS:PLAINTEXT",
            ]
            _restart_with(node, file, text + "\n".join(own) + "\n")
            trial.wait_until_whole()
        told = ",".join(f"{PROXY_HOST.format(number)}:{port}" for number in range(1, NODES + 1))
        trial.supervisor.settings = msgspec.structs.replace(trial.settings, broker=told)
        yield proxies
        for node, text in zip(nodes, before, strict=True):
            _restart_with(node, file, text)
            trial.wait_until_whole()


@contextmanager
def _cassandra_behind_proxies(trial: Trial) -> Iterator[list[CutProxy]]:
    """Let the workers reach each node of Cassandra by a proxy, whose address is the one that the node tells clients."""
    nodes = trial.services.nodes["cassandra"]
    before = [node.log.with_name("cassandra.yaml").read_text() for node in nodes]
    with ExitStack() as stack:
        proxies = [
            stack.enter_context(CutProxy(PROXY_HOST.format(number), port, host, port))
            for number, (host, port) in enumerate(addresses("cassandra", trial.settings.cassandra), start=1)
        ]
        for number, (node, text) in enumerate(zip(nodes, before, strict=True), start=1):
            _restart_with(node, "cassandra.yaml", f"{text}broadcast_rpc_address: {PROXY_HOST.format(number)}\n")
        trial.wait_until_whole()
        told = ",".join(f"{PROXY_HOST.format(n)}:{node.address.partition(':')[2]}" for n, node in enumerate(nodes, 1))
        trial.supervisor.settings = msgspec.structs.replace(trial.settings, cassandra=told)
        yield proxies
        for node, text in zip(nodes, before, strict=True):
            _restart_with(node, "cassandra.yaml", text)
