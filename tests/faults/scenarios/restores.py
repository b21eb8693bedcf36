"""Cassandra is restored to an older state, while Kafka keeps the newer commits of the group."""

import shutil
from pathlib import Path

from tests.faults.registry import scenario
from tests.faults.trial import Trial

SINCE_SNAPSHOT = 2_000  # records that are committed between the snapshot and the restore


@scenario(alone=True, small={"faults": 1}, long={"faults": 4})
def cassandra_restored(trial: Trial) -> None:
    """The files of Cassandra are copied, and put back after further records were committed, between two workers."""
    trial.under_load(workers=2)
    cassandra, folder = trial.services.cassandra, trial.services.data_dir / "cassandra"
    snapshot = trial.folder / "snapshot"
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        cassandra.stop()
        _copy(folder, snapshot)
        cassandra.start()
        trial.commits.wait_for(trial.commits.records + SINCE_SNAPSHOT)
        with trial.fault("restore of Cassandra"):
            for slot in trial.supervisor.running:
                trial.supervisor.remove(slot)
            cassandra.stop()
            _copy(snapshot, folder)
            cassandra.start()
            for _ in range(2):
                trial.supervisor.add()
        trial.wait_for_recovery()
    trial.expect_in_log("Cassandra was restored to an older state")


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
