"""Faults of the network between the workers and one node of a cluster, which the other nodes still reach."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from streams.config.settings import addresses
from streams.local.process.service_process import ServiceProcess
from tests.faults.registry import scenario
from tests.faults.scenarios.cluster import NODES, OUTAGE_S
from tests.faults.trial import Trial
from tests.support.cut_proxy import CutProxy

PROXY_HOST = "127.0.0.1{}"  # of the node with this number


@scenario(nodes=NODES, alone=True, small={"faults": 2, "outage_s": OUTAGE_S}, long={"faults": 12, "outage_s": 30.0})
def cassandra_node_cut_off(trial: Trial) -> None:
    """The network between the workers and a node of Cassandra breaks: no connection ends, and nothing arrives."""
    with _proxied(trial) as proxies:
        trial.under_load(workers=2)
        for number in range(trial.size.faults):
            trial.wait_for_next_fault()
            proxy = proxies[number % NODES]
            with trial.fault(f"{trial.services.nodes['cassandra'][number % NODES].name} is cut off"):
                proxy.cut()
                time.sleep(trial.size.outage_s)
                proxy.mend()
            trial.wait_for_recovery()
        trial.drain()
        trial.stop_workers()


def _restart_with(node: ServiceProcess, yaml: str) -> None:
    node.stop()
    node.log.with_name("cassandra.yaml").write_text(yaml)
    node.start()


@contextmanager
def _proxied(trial: Trial) -> Iterator[list[CutProxy]]:
    """Let the workers reach each node of Cassandra by a proxy, whose address is the one that the node tells clients."""
    nodes = trial.services.nodes["cassandra"]
    before = [node.log.with_name("cassandra.yaml").read_text() for node in nodes]
    with ExitStack() as stack:
        proxies = [
            stack.enter_context(CutProxy(PROXY_HOST.format(number), port, host, port))
            for number, (host, port) in enumerate(addresses("cassandra", trial.settings.cassandra), start=1)
        ]
        for number, (node, text) in enumerate(zip(nodes, before, strict=True), start=1):
            _restart_with(node, f"{text}broadcast_rpc_address: {PROXY_HOST.format(number)}\n")
        trial.wait_until_whole()
        told = ",".join(f"{PROXY_HOST.format(n)}:{node.address.partition(':')[2]}" for n, node in enumerate(nodes, 1))
        trial.supervisor.settings = msgspec.structs.replace(trial.settings, cassandra=told)
        yield proxies
        for node, text in zip(nodes, before, strict=True):
            _restart_with(node, text)
