"""`python -m tests.faults.swap`: a worse and a better bundle are tried beside the active one, while traffic flows.

Events come at a rate, a server answers, and readers ask without end. The behaviour topic is archived and cut. A worse
bundle is backfilled, tried and refused. A better one is promoted, and taken back. `thalweg verify` compares all users
of each bundle at each stage. After the end, every answer is compared with states that are recomputed event by event.
The play is right where nothing is wrong, and where the server followed each switch in time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka import TopicPartition

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin, describe_topic, topic_exists
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices, local_services
from streams.serve.scoring.active_model import LOOK_EVERY_S
from tests.faults.swap.readers import Reader, Truth, judge
from tests.faults.swap.traffic import Traffic
from tests.support.deployment import Deployment, environment_of
from tests.tools.serving import Server

WIDTH = "32"
USERS, LOG_EVENTS = 3_000, 400_000
WATCHED, READERS = 30, 3
CAUGHT_UP_RECORDS = 10_000
SWITCHES = 2  # the promotion and the rollback
WAIT_S = 300.0
VERIFY_S = 900.0
FOLLOWED_WITHIN_S = 1.0  # and a look, which may have begun just before the switch


class SwapError(Exception):
    """A command or a state that the play needs did not come."""


class Swap:
    """The services' clients, the bundles, the traffic, the readers, and what each stage gave."""

    def __init__(self, services: LocalServices, folder: Path, rate: float, log_events: int) -> None:
        self.folder = folder
        self.rate = rate
        self.log_events = log_events
        self.stages: list[dict[str, Any]] = []
        self._processes: list[WorkerProcess] = []
        self.log = folder / "log.jsonl"
        self._simulate(log_events)
        self.champion = self._bundle("champion", "--first", "0.2", "--max-epochs", "1")
        self.worse = self._bundle("worse", "--first", "0.02", "--max-epochs", "1")
        self.better = self._bundle("better", "--first", "0.5", "--max-epochs", "4")
        self.bundles = [self.champion, self.worse, self.better]
        self.deployment = Deployment(services, self.champion, folder)
        self.settings = self.deployment.settings_with(monitor_folder=str(folder / "monitor"))
        self.archive = str(folder / "archive")
        self.watched = first_users(self.log, WATCHED)

    def _simulate(self, events: int) -> None:
        arguments = ("--events", str(events), "--users", str(USERS), "--days", "60", "--out", str(self.log))
        self._offline("simulate", *arguments)

    def _bundle(self, name: str, *options: str) -> Bundle:
        checkpoint, bundle = self.folder / f"{name}.checkpoint", self.folder / f"{name}.bundle"
        self._offline("train", str(self.log), "--out", str(checkpoint), "--width", WIDTH, *options)
        self._offline("export", str(checkpoint), "--out", str(bundle), "--without-checkpoint")
        return Bundle.load(bundle)

    def _offline(self, *command: str) -> None:
        subprocess.run([sys.executable, "-m", "streams.cli", *command], check=True, stdout=subprocess.DEVNULL)

    def command(self, *arguments: str, limit_s: float = WAIT_S) -> subprocess.CompletedProcess[str]:
        """Run a command with the settings of the deployment."""
        return subprocess.run(
            [sys.executable, "-m", "streams.cli", *arguments],
            env=environment_of(self.settings),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        """Run a command that must end with 0. Raises SwapError."""
        ended = self.command(*arguments)
        if ended.returncode:
            raise SwapError(f"thalweg {' '.join(arguments)} ended with {ended.returncode}: {ended.stderr[-2_000:]}")
        return ended.stdout

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[WorkerProcess]:
        """A command that runs until the end of the block."""
        folder = self.folder / name
        folder.mkdir()
        command = [sys.executable, "-m", "streams.cli", *arguments]
        process = WorkerProcess(self.settings, folder / "log", command)
        process.start(wait=False)
        self._processes.append(process)
        try:
            yield process
        finally:
            self._processes.remove(process)
            process.stop()

    def wait_until(self, holds: Callable[[], bool], what: str, limit_s: float = WAIT_S) -> float:
        """Wait, and return the seconds that this took. Raises SwapError, also where a process has ended."""
        began_s = time.monotonic()
        while not holds():
            ended = [process for process in self._processes if process.pid is None]
            if ended or time.monotonic() - began_s > limit_s:
                ends = "".join(process.last_lines() for process in ended)
                raise SwapError(f"not within {limit_s:g} s: {what}{ends}")
            time.sleep(0.2)
        return round(time.monotonic() - began_s, 1)

    def lag(self, bundle: Bundle) -> int:
        group_id = self.settings.consumer_group_id(bundle.bundle_id)
        return describe_topic(self.settings, self.settings.behavior_topic, group_id).lag

    def wait_until_caught_up(self, bundle: Bundle) -> None:
        self.wait_until(lambda: self.lag(bundle) < CAUGHT_UP_RECORDS, f"{bundle.bundle_id} has caught up")

    def cut(self) -> int:
        """Delete the records that are archived, as retention would. Returns their number."""
        topic = describe_topic(self.settings, self.settings.behavior_topic)
        ends = archive_ends(self.archive)
        with broker_admin(self.settings) as admin:
            admin.delete_records({TopicPartition(topic.name, partition): end for partition, end in ends.items()})
        return sum(ends.values())

    def end_stage(self, name: str, *bundles: Bundle, **details: Any) -> None:
        """Verify every user of these bundles, and note the stage."""
        began_s = time.monotonic()
        with ThreadPoolExecutor(len(bundles)) as verifying:  # History grows meanwhile, so nothing waits for its turn.
            ended = list(verifying.map(self._verify, bundles))
        stage = {"name": name, "verify_clean": all(not one.returncode for one in ended), **details}
        stage["verify_s"] = round(time.monotonic() - began_s, 1)
        found = [json.loads(one.stdout.splitlines()[-1]) if one.stdout else one.stderr for one in ended]
        stage["verify"] = found
        stage["is_whole"] = all(isinstance(one, dict) and is_whole(one) for one in found)
        self.stages.append(stage)
        print(json.dumps(stage), file=sys.stderr)

    def _verify(self, bundle: Bundle) -> subprocess.CompletedProcess[str]:
        options = ("--bundle", str(bundle.path), "--archive", self.archive, "--json")
        return self.command("verify", *options, limit_s=VERIFY_S)


def is_whole(verification: dict[str, Any]) -> bool:
    """Whether every record of the topic was an event that could be recomputed. The traffic has no other records."""
    return verification["events"] > 0 and not verification["dead_letters"] and not verification["unverifiable"]


def first_users(log: Path, count: int) -> list[str]:
    """The users of the first events of a log."""
    users: dict[str, None] = {}
    with log.open("rb") as lines:
        for line in lines:
            users.setdefault(json.loads(line)["user_id"])
            if len(users) == count:
                break
    return list(users)


def archive_ends(archive: str) -> dict[int, int]:
    """The offset behind the archive's last one, by partition."""
    from streams.archive.reader import ArchiveReader

    reader = ArchiveReader.open(archive)
    return {partition: reader.end(partition) or 0 for partition in reader.partitions}


def play(swap: Swap) -> dict[str, Any]:
    """All stages, and the judgement of all answers."""
    traffic = Traffic(swap.settings, swap.log, swap.watched)
    traffic.send(swap.log_events // 2)
    given = [argument for bundle in swap.bundles for argument in ("--bundle", str(bundle.path))]
    server = Server(swap.settings, swap.folder / "server.log", given)
    readers = [Reader(server.address, swap.watched, seed) for seed in range(READERS)]
    with swap.running("champion", "worker"), swap.running("monitor-folder", "monitor"):
        swap.wait_until_caught_up(swap.champion)
        server.start()
        swap.wait_until(lambda: server.client.get("/readyz").status_code == 200, "the server is ready")
        traffic.start(swap.rate)
        for reader in readers:
            reader.start()
        try:
            _stages(swap, readers)
        finally:
            traffic.stop()
            for reader in readers:
                reader.end()
            server.stop()
    answers = [answer for reader in readers for answer in reader.answers]
    failed = [text for reader in readers for text in reader.failed]
    truths = {bundle.bundle_id: Truth(bundle, traffic.events_of) for bundle in swap.bundles}
    wrong, mixed = judge(answers, truths)
    return {
        "stages": swap.stages,
        "wrong": len(wrong),
        "mixed": len(mixed),
        "failed": len(failed),
        "reads": len(answers) + len(failed),
        "reads_by_bundle": {name: sum(one.bundle_id == name for one in answers) for name in truths},
        "events": traffic.sent,
        "rate": swap.rate,
        "examples": [*wrong[:3], *mixed[:3], *failed[:3]],
    }


def _stages(swap: Swap, readers: list[Reader]) -> None:
    champion, worse, better = swap.bundles
    swap.must("archive", "--to", swap.archive)
    swap.end_stage("archive and cut", champion, cut=swap.cut())
    with swap.running("worse", "shadow", str(worse.path), "--from", swap.archive):
        swap.wait_until_caught_up(worse)
        swap.end_stage("shadow of the worse bundle", champion, worse)
        swap.wait_until(
            lambda: _comparison(swap, worse)["high"] < 0, "the comparison shows that the worse bundle is worse"
        )
        refused = swap.command("promote", worse.bundle_id)
        reason = (refused.stdout + refused.stderr).strip()
        if refused.returncode != 1:
            raise SwapError(f"the worse bundle was promoted: {reason}")
        if f"{worse.bundle_id} is not shown to be better than {champion.bundle_id}" not in reason:
            raise SwapError(f"the refusal does not name the comparison: {reason}")
        swap.end_stage("refusal of the worse bundle", champion, worse, reason=reason)
    swap.must("retire", worse.bundle_id, "--yes")
    if left := _left_of(swap, worse):
        raise SwapError(f"{worse.bundle_id} was retired and has left {', '.join(left)}")
    swap.end_stage("retirement of the worse bundle", champion)
    with swap.running("better", "shadow", str(better.path), "--from", swap.archive):
        swap.wait_until_caught_up(better)
        swap.end_stage("shadow of the better bundle", champion, better)
        waited_s = swap.wait_until(
            lambda: _comparison(swap, better)["low"] > 0, "the better bundle is shown to be better"
        )
        swap.must("promote", better.bundle_id)
        followed_s = _followed_s(readers, champion)
        swap.end_stage("promotion", champion, better, waited_s=waited_s, followed_s=followed_s)
        swap.must("rollback")
        swap.end_stage("rollback", champion, better, followed_s=_followed_s(readers, better))


def _left_of(swap: Swap, retired: Bundle) -> list[str]:
    """What a bundle still has that was not the first of its keyspace."""
    settings, bundle_id = swap.settings, retired.bundle_id
    shown = json.loads(swap.must("bundles", "--json").splitlines()[-1])["bundles"]
    (found,) = [one for one in shown if one["bundle_id"] == bundle_id]
    own, group = settings.bundle_updates_topic(bundle_id, is_first=False), settings.consumer_group_id(bundle_id)
    with broker_admin(settings) as admin:
        groups = {one["group_id"] for one in admin.list_groups()}
    left = {
        f"the state {found['state']}": found["state"] != "retired",
        f"{found['rows']} rows": found["rows"] != 0,
        f"topic {own}": topic_exists(settings, own),
        f"group {group}": group in groups,
    }
    return [name for name, is_left in left.items() if is_left]


def _followed_s(readers: list[Reader], former: Bundle) -> float:
    """The time from the end of the switch to the last question that the former bundle answered."""
    switched_s = time.monotonic()
    time.sleep(3 * FOLLOWED_WITHIN_S)
    last_s = max(reader.last_of.get(former.bundle_id, 0.0) for reader in readers)
    return round(max(0.0, last_s - switched_s), 2)


def _comparison(swap: Swap, challenger: Bundle) -> dict[str, Any]:
    """The latest comparison of the champion with a bundle; no difference where there is none."""
    from streams.commands.bundles.comparison import latest_comparison

    found = latest_comparison(swap.settings, swap.champion.bundle_id, challenger.bundle_id)
    return {"low": -1.0, "high": 1.0} if found is None else {"low": found.low, "high": found.high}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make swap", description=__doc__)
    parser.add_argument("--rate", type=float, default=5_000.0, help="events per second (default: 5000)")
    parser.add_argument("--log-events", type=int, default=LOG_EVENTS, help=f"simulated events (default: {LOG_EVENTS})")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thalweg-swap-") as folder, local_services() as services:
        found = play(Swap(services, Path(folder), args.rate, args.log_events))
    print(json.dumps(found) if args.json else json.dumps(found, indent=2))
    return 0 if _is_right(found) else 1


def _is_right(found: dict[str, Any]) -> bool:
    """Whether no answer was wrong, all events verified clean, and the server followed each switch in time."""
    if found["wrong"] or found["mixed"] or found["failed"]:
        return False
    followed = [stage["followed_s"] for stage in found["stages"] if "followed_s" in stage]
    is_followed = len(followed) == SWITCHES and max(followed) <= FOLLOWED_WITHIN_S + LOOK_EVERY_S
    return is_followed and all(stage["verify_clean"] and stage["is_whole"] for stage in found["stages"])


if __name__ == "__main__":
    sys.exit(main())
