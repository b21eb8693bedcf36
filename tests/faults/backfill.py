"""`thalweg backfill` is killed (SIGKILL) at every stage, and loses nothing: `python -m tests.faults.backfill`.

The topic is archived and cut before the first kill. After the last kill a backfill runs to its end, and a worker reads
further records. Every user is then recomputed from archive and topic. Last, a backfill is frozen (SIGSTOP) while a
worker takes the partitions over. The backfill must end with an error when it goes on, and must not harm a row.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from streams.archive.opening import open_reader
from streams.broker.topics import describe_topic
from streams.commands.verify.verification import verify
from streams.local import local_services
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, environment_of, run_thalweg, troubled_shopping

STAGES = ("write", "update", "publish", "erase", "drop_passed", "read")  # The first run reads no row.
MOMENTS = ("before", "during", "after")
LIMIT_S = 120.0
COMMAND = [sys.executable, "-m", "tests.faults.programs.backfill_main", "--from"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--records", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thalweg-faults-") as name, local_services() as services:
        folder = Path(name)
        bundle = tiny_bundle(folder / "bundle")
        problems = []
        for play in (kill, freeze):
            (folder / play.__name__).mkdir()
            problems += play(Deployment(services, bundle, folder / play.__name__), args)
    for problem in problems:
        print(problem)
    print(f"backfill: {args.kills} kills, {len(problems)} problems")
    return 1 if problems else 0


def kill(deployment: Deployment, args: argparse.Namespace) -> list[str]:
    """Return what is wrong after kills."""
    archive, draw = send_and_archive(deployment, args), random.Random(args.seed)
    deployment.cut_topic()
    kills = 0
    while kills < args.kills:
        stage, moment = STAGES[kills % len(STAGES)], draw.choice(MOMENTS)
        fault = {
            "FAULT_POINT": f"{stage}:{moment}",
            "FAULT_CALL": str(draw.randrange(1, 3)),
            "FAULT_DELAY_MS": str(draw.randrange(1, 8)),
        }
        code = run_backfill(deployment, archive, fault)
        print(f"{stage}:{moment} at call {fault['FAULT_CALL']}: {'killed' if code else 'the backfill has ended'}")
        kills += 1
        if not code:
            break
    assert run_backfill(deployment, archive, {}) == 0
    problems = [] if kills == args.kills else [f"the backfill has ended after {kills} kills: send more records"]
    updates = {user: update.steps for user, update in deployment.last_updates().items() if update is not None}
    if updates != deployment.stored_steps():
        problems.append("the last updates are not the stored rows")
    deployment.send(troubled_shopping(2_000, 300, args.seed + 1))
    work(deployment)
    return problems + differences(deployment, archive)


def freeze(deployment: Deployment, args: argparse.Namespace) -> list[str]:
    """Return what is wrong after a worker has taken over from a frozen backfill."""
    archive = send_and_archive(deployment, args)
    group = deployment.settings.consumer_group_id(deployment.bundle.bundle_id)
    with subprocess.Popen(
        [*COMMAND, archive],
        env=environment_of(deployment.settings) | {"BLOCK_ROWS": "50"},
        stderr=subprocess.PIPE,
        text=True,
    ) as frozen:
        while not describe_topic(deployment.settings, deployment.settings.behavior_topic, group).committed:
            time.sleep(0.05)
        frozen.send_signal(signal.SIGSTOP)
        work(deployment)
        frozen.send_signal(signal.SIGCONT)
        _, why = frozen.communicate(timeout=LIMIT_S)
    print(f"the frozen backfill ended with {frozen.returncode}: {why.strip()}")
    problems = [] if frozen.returncode == 1 else ["the frozen backfill did not end with an error"]
    return problems + differences(deployment, archive)


def send_and_archive(deployment: Deployment, args: argparse.Namespace) -> str:
    archive = str(deployment.folder / "archive")
    deployment.send(troubled_shopping(args.records, 300, args.seed))
    archived = run_thalweg(deployment.settings, "archive", "--to", archive)
    assert archived.returncode == 0, archived.stderr
    return archive


def work(deployment: Deployment) -> None:
    """Let a worker read everything that waits."""
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()


def differences(deployment: Deployment, archive: str) -> list[str]:
    """Recompute every user from archive and topic."""
    problems = []
    found = verify(deployment.settings, deployment.bundle, archive=open_reader(archive))
    if found.unverifiable or found.not_committed:
        problems.append(f"{found.unverifiable} users cannot be verified, {found.not_committed} records are open")
    return problems + found.mismatches


def run_backfill(deployment: Deployment, archive: str, fault: dict[str, str]) -> int:
    """Run a backfill, and return 0 where it has ended and another number where it was killed."""
    ended = subprocess.run(
        [*COMMAND, archive],
        env=environment_of(deployment.settings) | fault,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode in (0, -signal.SIGKILL), ended.stdout + ended.stderr
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
