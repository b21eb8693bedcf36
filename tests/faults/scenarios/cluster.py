"""Faults of single nodes of a Kafka and a Cassandra that have three nodes each: the others go on.

Each fault lasts longer than the ten seconds within which the workers have to go on, so that a scenario in which only
the return of the node helps stands still for longer. Before the next fault, every node is back and in sync.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle, islice

from streams.local.process.service_process import ServiceProcess
from tests.faults.registry import scenario
from tests.faults.trial import Trial

NODES = 3
OUTAGE_S = 13.0
Change = Callable[[ServiceProcess], None]


@scenario(nodes=NODES, alone=True, small={"faults": 3, "outage_s": OUTAGE_S}, long={"faults": 9, "outage_s": OUTAGE_S})
def broker_killed(trial: Trial) -> None:
    """Each broker in turn is killed (SIGKILL), and started again later."""
    trial.under_load(workers=2)
    for broker in _in_turn(trial, "kafka"):
        _away(trial, [broker], ServiceProcess.kill, ServiceProcess.start)


@scenario(nodes=NODES, alone=True, small={"faults": 3, "outage_s": OUTAGE_S}, long={"faults": 9, "outage_s": OUTAGE_S})
def cassandra_node_killed(trial: Trial) -> None:
    """Each node of Cassandra in turn is killed (SIGKILL), and started again later."""
    trial.under_load(workers=2)
    for node in _in_turn(trial, "cassandra"):
        _away(trial, [node], ServiceProcess.kill, ServiceProcess.start)


@scenario(nodes=NODES, alone=True, small={"faults": 3, "outage_s": OUTAGE_S}, long={"faults": 9, "outage_s": OUTAGE_S})
def broker_paused(trial: Trial) -> None:
    """Each broker in turn is frozen (SIGSTOP): leaders, coordinators and the controller answer nothing for a while."""
    trial.under_load(workers=2)
    for broker in _in_turn(trial, "kafka"):
        _away(trial, [broker], ServiceProcess.pause, ServiceProcess.resume)


@scenario(nodes=NODES, alone=True, small={"faults": 3, "outage_s": OUTAGE_S}, long={"faults": 9, "outage_s": OUTAGE_S})
def cassandra_node_paused(trial: Trial) -> None:
    """Each node of Cassandra in turn is frozen (SIGSTOP), also as the coordinator of requests in flight."""
    trial.under_load(workers=2)
    for node in _in_turn(trial, "cassandra"):
        _away(trial, [node], ServiceProcess.pause, ServiceProcess.resume)


@scenario(nodes=NODES, alone=True, small={"faults": 2, "outage_s": OUTAGE_S}, long={"faults": 4, "outage_s": OUTAGE_S})
def one_then_the_other(trial: Trial) -> None:
    """A broker and a node of Cassandra are killed at the same time, and then another pair."""
    trial.under_load(workers=2)
    for pair in zip(_in_turn(trial, "kafka"), islice(cycle(trial.services.nodes["cassandra"]), 1, None), strict=False):
        _away(trial, pair, ServiceProcess.kill, ServiceProcess.start)


@scenario(nodes=NODES, alone=True, small={"faults": 6}, long={"faults": 6})
def rolling_restart(trial: Trial) -> None:
    """All six nodes are restarted in order (SIGTERM), one after the other, as for an upgrade."""
    trial.under_load(workers=2)
    nodes = [node for nodes in trial.services.nodes.values() for node in nodes]
    for node in islice(cycle(nodes), trial.size.faults):
        trial.wait_for_next_fault()
        with trial.fault(f"{node.name} restarts"):
            node.stop()
            node.start()
        trial.wait_for_recovery()
        trial.wait_until_whole()


def _in_turn(trial: Trial, service: str) -> Iterator[ServiceProcess]:
    """As many nodes as the scenario has faults, each at a random moment."""
    for node in islice(cycle(trial.services.nodes[service]), trial.size.faults):
        trial.wait_for_next_fault()
        yield node


def _away(trial: Trial, nodes: Sequence[ServiceProcess], end: Change, begin: Change) -> None:
    """Take these nodes away for a while, and wait until they are back and in sync."""
    with ExitStack() as faults:
        for node in nodes:
            faults.enter_context(trial.fault(f"{end.__name__} of {node.name}"))
        for node in nodes:
            end(node)
        time.sleep(trial.size.outage_s)
        for node in nodes:
            begin(node)
    trial.wait_for_recovery()
    trial.wait_until_whole()
