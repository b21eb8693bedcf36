"""Faults of the data of single nodes of a cluster: data that is lost, a disk that is full, a leader that changes."""

import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cassandra import ConsistencyLevel
from cassandra.query import SimpleStatement
from kafka import TopicPartition

from streams.broker.topics import broker_admin
from streams.local.kafka.storage import cluster_id, format_storage
from streams.local.nodes import Node
from streams.local.process.service_process import ServiceProcess
from streams.store.cql_schema import stored_name
from streams.store.protocol.cluster import connect
from tests.faults.registry import Skipped, scenario
from tests.faults.scenarios.cluster import NODES, OUTAGE_S
from tests.faults.trial import Trial

DATA_OF_CASSANDRA = ("data", "commitlog", "hints", "saved_caches", "cdc_raw")
KEPT_FREE_BYTES = 256 * 1024
DISK_BYTES = 192 * 2**20  # beside what earlier scenarios have left
PREFERRED = 0  # the type of an election that makes the first replica the leader
ENDS_WITHIN_S = 60.0


@scenario(nodes=NODES, alone=True, small={"faults": 1, "outage_s": OUTAGE_S}, long={"faults": 3, "outage_s": OUTAGE_S})
def broker_comes_back_empty(trial: Trial) -> None:
    """A broker is killed, its log folder is deleted, and the broker starts on an empty one.

    The others elect another leader of the controllers first. Kafka 4 ends a leader that comes back empty before that:
    docs/operating.md#a-broker-with-an-empty-disk
    """
    trial.under_load(workers=2)
    brokers = trial.services.nodes["kafka"]
    for number in range(trial.size.faults):
        trial.wait_for_next_fault()
        broker = brokers[number % NODES]
        with trial.fault(f"{broker.name} comes back empty"):
            broker.kill()
            shutil.rmtree(broker.log.parent / "log")
            node = Node(number % NODES + 1, [])
            format_storage(node, broker.log.parent / "log", cluster_id(trial.services.data_dir))
            time.sleep(trial.size.outage_s)
            broker.start()
        trial.wait_for_recovery()
        trial.wait_until_whole()


@scenario(nodes=NODES, alone=True, small={"faults": 1}, long={"faults": 3})
def cassandra_node_replaced(trial: Trial) -> None:
    """A node of Cassandra is killed and its data deleted. A new node takes over its address and place on the ring.

    The keyspace is repaired before the next node is lost, as docs/cassandra.md#replacing-a-node says. The new node
    copies each row from one node, which may have missed the last write.
    """
    trial.under_load(workers=2)
    for node in trial.services.nodes["cassandra"][: trial.size.faults]:
        trial.wait_for_next_fault()
        with trial.fault(f"{node.name} is replaced"):
            node.kill()
            for name in DATA_OF_CASSANDRA:
                shutil.rmtree(node.log.parent / name, ignore_errors=True)
            with _replacing(node):
                node.start()
        trial.wait_for_recovery()
        trial.wait_until_whole()
        _repair(trial)


def _repair(trial: Trial) -> None:
    """Read all rows from all replicas. Cassandra then writes the newest row to the replicas that lack it."""
    cluster, session = connect(trial.settings)
    keyspace = stored_name(trial.settings.keyspace)
    try:
        query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        for (table,) in session.execute(query, (keyspace,)):
            everything = SimpleStatement(
                f"SELECT * FROM {trial.settings.keyspace}.{table}",
                consistency_level=ConsistencyLevel.ALL,
                fetch_size=500,
            )
            deque(session.execute(everything, timeout=60.0), maxlen=0)
    finally:
        cluster.shutdown()


@contextmanager
def _replacing(node: ServiceProcess) -> Iterator[None]:
    """Let the next start of the node take over the node's own address. A seed cannot do so, so it is none."""
    yaml, host = node.log.parent / "cassandra.yaml", node.address.partition(":")[0]
    before = yaml.read_text()
    (seeds,) = (line for line in before.splitlines() if "- seeds:" in line)
    others = [seed for seed in seeds.split('"')[1].split(",") if not seed.startswith(f"{host}:")]
    lines = [line for line in before.splitlines() if not line.startswith("initial_token:")]
    yaml.write_text("\n".join(lines).replace(seeds.split('"')[1], ",".join(others)) + "\n")
    node._environment["JDK_JAVA_OPTIONS"] = f"-Dcassandra.replace_address_first_boot={host}"
    try:
        yield
    finally:
        del node._environment["JDK_JAVA_OPTIONS"]
        yaml.write_text(before)


@scenario(nodes=NODES, alone=True, small={"faults": 4, "gap_s": (1.0, 2.0)}, long={"faults": 40, "gap_s": (1.0, 2.0)})
def leaders_change_in_transactions(trial: Trial) -> None:
    """The leaders of the updates topic and of the transactions move to other brokers while transactions are open."""
    trial.under_load(workers=2)
    for number in range(trial.size.faults):
        trial.wait_for_next_fault()
        with trial.fault("all leaders move"):
            _move_leaders(trial, number)
    trial.wait_for_recovery()


def _move_leaders(trial: Trial, number: int) -> None:
    """Make another replica of each partition the preferred one, and elect it."""
    order = [(number + place) % NODES + 1 for place in range(NODES)]
    with broker_admin(trial.settings) as admin:
        topics = admin.describe_topics([trial.settings.updates_topic, "__transaction_state"])
        partitions = {topic["name"]: [part["partition_index"] for part in topic["partitions"]] for topic in topics}
        replicas = {TopicPartition(name, part): order for name, parts in partitions.items() for part in parts}
        refused = {tp: error for tp, error in admin.alter_partition_reassignments(replicas).items() if error}
        if refused:
            trial.problems.append(f"replicas were not put in another order: {refused}")
        admin.elect_leaders(PREFERRED, partitions)


@scenario(nodes=NODES, alone=True, small={"faults": 1, "outage_s": OUTAGE_S}, long={"faults": 2, "outage_s": OUTAGE_S})
def disk_of_a_broker_full(trial: Trial) -> None:
    """The disk of a broker is full, so that the broker ends. It starts again when the disk has room."""
    _disk_full(trial, "kafka", "log")


@scenario(nodes=NODES, alone=True, small={"faults": 1, "outage_s": OUTAGE_S}, long={"faults": 2, "outage_s": OUTAGE_S})
def disk_of_a_cassandra_node_full(trial: Trial) -> None:
    """The disk with the commit log of a node of Cassandra is full, so that the node ends. It starts again later."""
    _disk_full(trial, "cassandra", "commitlog")


def _disk_full(trial: Trial, service: str, folder: str) -> None:
    node = trial.services.nodes[service][-1]
    node.stop()
    with _small_disk(node.log.parent / folder) as disk, _killed_by_an_error(node):
        node.start()
        trial.wait_until_whole()
        trial.under_load(workers=2)
        for _ in range(trial.size.faults):
            trial.wait_for_next_fault()
            with trial.fault(f"the disk of {node.name} is full"):
                filler = disk / "filler"
                with suppress(OSError), filler.open("wb", buffering=0) as file:  # the node may fill the rest meanwhile
                    file.write(bytes(max(0, shutil.disk_usage(disk).free - KEPT_FREE_BYTES)))
                trial.wait_until(lambda: node.pid is None, ENDS_WITHIN_S, f"{node.name} ends on a full disk")
                time.sleep(trial.size.outage_s)
                filler.unlink()
                node.start()
            trial.wait_for_recovery()
            trial.wait_until_whole()
        trial.drain()
        trial.stop_workers()
        node.stop()
    node.start()


@contextmanager
def _killed_by_an_error(node: ServiceProcess) -> Iterator[None]:
    """Kill the node where the block fails, since a file system in use cannot be taken away."""
    try:
        yield
    except BaseException:
        node.kill()
        raise


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """Put the folder on a file system with DISK_BYTES to spare, and back into its place at the end."""
    kept = folder.with_name(f"{folder.name}.kept")
    folder.rename(kept)
    folder.mkdir()
    held_bytes = sum(file.stat().st_size for file in kept.rglob("*") if file.is_file())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={held_bytes + DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        folder.rmdir()
        kept.rename(folder)
        raise Skipped(f"a file system of a limited size cannot be mounted here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield folder
        shutil.rmtree(kept)
        shutil.copytree(folder, kept)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        kept.rename(folder)
