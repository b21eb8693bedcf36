"""`thalweg backfill` is killed (SIGKILL) at every stage, and loses nothing: `python -m tests.faults.backfill`.

The topic is archived and cut before the first kill. After the last kill a backfill runs to its end, and a worker reads
further records. Every user is then recomputed from archive and topic.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from streams.archive.opening import open_reader
from streams.commands.verify.verification import verify
from streams.local import local_services
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, environment_of, run_thalweg, troubled_shopping

STAGES = ("read", "write", "update", "erase", "publish", "drop_passed")
MOMENTS = ("before", "during", "after")
LIMIT_S = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--records", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thalweg-faults-") as name, local_services() as services:
        folder = Path(name)
        problems = play(Deployment(services, tiny_bundle(folder / "bundle"), folder), args)
    for problem in problems:
        print(problem)
    print(f"backfill: {args.kills} kills, {len(problems)} problems")
    return 1 if problems else 0


def play(deployment: Deployment, args: argparse.Namespace) -> list[str]:
    """Return what is wrong."""
    archive, draw = str(deployment.folder / "archive"), random.Random(args.seed)
    deployment.send(troubled_shopping(args.records, 300, args.seed))
    archived = run_thalweg(deployment.settings, "archive", "--to", archive)
    assert archived.returncode == 0, archived.stderr
    deployment.cut_topic()
    kills = 0
    while kills < args.kills:
        stage, moment = STAGES[kills % len(STAGES)], draw.choice(MOMENTS)
        fault = {
            "FAULT_POINT": f"{stage}:{moment}",
            "FAULT_CALL": str(draw.randrange(1, 6)),
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
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    found = verify(deployment.settings, deployment.bundle, archive=open_reader(archive))
    if found.unverifiable or found.not_committed:
        problems.append(f"{found.unverifiable} users cannot be verified, {found.not_committed} records are open")
    return problems + found.mismatches


def run_backfill(deployment: Deployment, archive: str, fault: dict[str, str]) -> int:
    """Run a backfill, and return 0 where it has ended and another number where it was killed."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.backfill_main", "--from", archive],
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
