"""One scenario of `make faults ARGS="--nodes 3"`, with one fault: a broker and a node of Cassandra die under load."""

from pathlib import Path

import msgspec

from export.runtime.bundle import Bundle
from streams.local import local_services
from tests.faults import scenarios
from tests.faults.registry import SCENARIOS
from tests.faults.trial import run_scenario

assert scenarios.__all__, "the import registers the scenarios"
# On a machine that does nothing else, partitions stand still for up to 10 s (docs/benchmarks.md#faults-of-a-cluster).
STANDSTILL_S = 20.0


def test_a_broker_and_a_node_of_cassandra_die_under_load(bundle: Bundle, tmp_path: Path) -> None:
    chosen = SCENARIOS["one-then-the-other"]
    size = msgspec.structs.replace(chosen.sizes["small"], faults=1)
    chosen = msgspec.structs.replace(chosen, sizes={"small": size})
    with local_services(nodes=chosen.nodes) as services:
        row = run_scenario(chosen, "small", services, bundle, tmp_path, seed=1)
    assert row.problems == []
    assert (row.faults, row.lost, row.double_applied, row.failed_reads) == (2, 0, 0, 0)
    assert row.reads is not None
    assert row.reads > 50
    assert row.standstill_s is not None
    assert row.standstill_s < STANDSTILL_S
    logs = [log.read_text() for log in tmp_path.glob("**/worker.log")]
    assert any("has been marked down" in log and "is reached again" in log for log in logs)
