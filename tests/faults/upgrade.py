"""A rolling upgrade and its way back, under load: `python -m tests.faults.upgrade --from COMMIT`.

The workers of one group run the code of an older commit and are replaced one at a time by workers of this code, while
events flow. Then they are replaced by the older code again, and last by this code all at once. The program prints the
longest time in which the group committed nothing, for each phase. Last, every user, every evaluation event and every
update is checked, as after a fault.
"""

import argparse
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec

from streams.broker.topics import describe_topic
from streams.demo.worker_process import WorkerProcess
from streams.local import local_services
from tests.faults.checks import check
from tests.faults.load import Load, Sender
from tests.faults.truth import Truth
from tests.faults.watch.commits import Commits
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment

ROOT = Path(__file__).parents[2]
# The first version: the tables and topics of this commit are those that migration 1 makes.
FIRST_VERSION = "3129244a"
SETTLED_S = 4.0  # between two replacements, so that the group has rebalanced and committed
DRAINED_WITHIN_S = 120.0
WENT_BACK = "Cassandra lacks records"


class Phase(msgspec.Struct):
    """One phase of the run. standstill_s: the longest time between two commits of the group that were seen."""

    what: str
    seconds: float
    standstill_s: float
    records: int


class Group:
    """The workers of one group, each with the code that runs it."""

    def __init__(self, deployment: Deployment, old: Path) -> None:
        self.workers: list[WorkerProcess] = []
        self.problems: list[str] = []
        self._deployment = deployment
        self._code = {"old": old, "new": ROOT}
        self._started = 0

    def make(self, which: str) -> WorkerProcess:
        """A worker that runs this code, not started."""
        self._started += 1
        folder = self._deployment.folder / f"{self._started:02}-{which}"
        folder.mkdir()
        # With -P, Python does not put the working folder before the folders of PYTHONPATH.
        command = [sys.executable, "-P", "-m", "streams.cli", "worker"]
        environment = {"PYTHONPATH": str(self._code[which])}
        return WorkerProcess(self._deployment.settings, folder / "worker.log", command, environment)

    def add(self, which: str) -> None:
        worker = self.make(which)
        worker.start()
        self.workers.append(worker)

    def replace_each(self, which: str) -> None:
        """Stop one worker in order and start another in its place, one after the other."""
        for place, worker in enumerate(self.workers):
            self.stop(worker)
            self.workers[place] = self.make(which)
            self.workers[place].start()
            time.sleep(SETTLED_S)

    def stop(self, worker: WorkerProcess) -> None:
        worker.stop()
        if worker.exit_code != 0:
            self.problems.append(f"{worker.log} ended with {worker.exit_code}: {worker.last_lines(3)}")
        if WENT_BACK in worker.log.read_text():
            self.problems.append(f"{worker.log}: the group went back, although nothing was restored")

    def stop_all(self) -> None:
        for worker in self.workers:
            if worker.pid is not None:
                self.stop(worker)
        self.workers.clear()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.upgrade", description=__doc__)
    parser.add_argument("--from", dest="commit", default=FIRST_VERSION, help="commit of the older version")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1000.0, help="events per second")
    parser.add_argument("--quiet-s", type=float, default=10.0, help="seconds without a replacement, in between")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thalweg-upgrade-") as name, local_services() as services:
        folder = Path(name)
        old = unpack(args.commit, folder / "old")
        (folder / "run").mkdir()
        deployment = Deployment(services, tiny_bundle(folder / "bundle"), folder / "run")
        phases, problems, events = play(deployment, old, args)
    for phase in phases:
        print(
            f"{phase.what:<42} {phase.seconds:5.0f} s  {phase.records:8,} records  {phase.standstill_s:.1f} s at most"
        )
    print(*problems, sep="\n")
    print(f"upgrade from {args.commit}: {events:,} records, {len(problems)} problems")
    if args.json:
        found = {"from": args.commit, "events": events, "problems": problems, "phases": phases}
        print(msgspec.json.encode(found).decode())
    return 1 if problems else 0


def unpack(commit: str, folder: Path) -> Path:
    """The files of a commit in a folder, from which Python then imports."""
    files = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-P", "-c", "import streams; print(streams.__file__)"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found).is_relative_to(folder), f"{found} is not the code of {commit}"
    return folder


def play(deployment: Deployment, old: Path, args: argparse.Namespace) -> tuple[list[Phase], list[str], int]:
    """The phases, what is wrong, and the number of records that were sent."""
    settings, bundle = deployment.settings, deployment.bundle
    group, truth = Group(deployment, old), Truth(settings, settings.behavior_topic)
    commits = Commits(settings, settings.behavior_topic, settings.consumer_group_id(bundle.bundle_id))
    load = Load(random.Random(0), users=500, repetitions=1, erasures_share=0.001)
    partitions = describe_topic(settings, settings.behavior_topic).partitions
    sender = Sender(settings.broker, settings.behavior_topic, load, args.rate, partitions)
    phases: list[Phase] = []

    def phase(what: str, run: Callable[[], None]) -> None:
        began = time.monotonic()
        run()
        phases.append(measured(what, commits, began, time.monotonic()))

    def all_at_once() -> None:
        group.stop_all()
        group.add("new")
        time.sleep(args.quiet_s)

    try:
        for _ in range(args.workers):
            group.add("old")
        commits.start()
        sender.start()
        commits.wait_for(1)
        phase("workers of the older version", lambda: time.sleep(args.quiet_s))
        phase("each is replaced by this version", lambda: group.replace_each("new"))
        phase("workers of this version", lambda: time.sleep(args.quiet_s))
        phase("each is replaced by the older version", lambda: group.replace_each("old"))
        phase("workers of the older version again", lambda: time.sleep(args.quiet_s))
        phase("all stop, and one of this version starts", all_at_once)
        sender.end()
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while commits.records < sender.sent and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        if sender.is_alive():
            sender.end()
        group.stop_all()
        if commits.ident is not None:
            commits.stop()
            group.problems += commits.problems
    return phases, group.problems + check(settings, bundle, truth, sender.sent).problems, sender.sent


def measured(what: str, commits: Commits, began: float, ended: float) -> Phase:
    seen = commits.between(began, ended)
    times = [began, *(when for when, _ in seen), ended]
    records = seen[-1][1] - seen[0][1] if seen else 0
    return Phase(what, ended - began, max(after - before for before, after in pairwise(times)), records)


if __name__ == "__main__":
    sys.exit(main())
