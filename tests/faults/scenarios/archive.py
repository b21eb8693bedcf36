"""Faults of `thalweg archive`, which copies the topic while a worker reads it."""

import subprocess
import sys

from tests.faults.programs.archive_main import POINTS
from tests.faults.registry import scenario
from tests.faults.trial import Trial
from tests.support.archives import differences
from tests.support.deployment import environment_of, run_thalweg

SEGMENT_ROWS = 50


@scenario(small={"faults": len(POINTS)}, long={"faults": 20 * len(POINTS), "rate": 200.0})
def archive_killed(trial: Trial) -> None:
    """The command kills itself (SIGKILL) at each step in turn, under load. The archive equals the topic then."""
    trial.under_load(workers=1)
    draw, folder, log = trial.draw_of("points"), trial.folder / "archive", trial.folder / "archive.log"
    points = [POINTS[number % len(POINTS)] for number in range(trial.size.faults)]
    faults = [f"{point}={draw.randint(1, 3)}" for point in points]
    environment = environment_of(trial.settings) | {"SEGMENT_ROWS": str(SEGMENT_ROWS), "FAULTS": " ".join(faults)}
    killed = 0
    command = [sys.executable, "-u", "-m", "tests.faults.programs.archive_main", "--to", str(folder)]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as runs,
    ):
        assert runs.stdout is not None
        for fault in faults:
            with trial.fault(fault):
                lines = iter(runs.stdout.readline, "")
                ended = next((line.split()[1] for line in lines if line.startswith(fault)), "nothing")
            killed += ended == "-9"
            if ended not in ("-9", "0"):  # A run that has little to copy may end before its fault.
                trial.problems.append(f"the run with the fault {fault} ended with {ended}: see {log}")
    if killed < len(faults) / 2:
        trial.problems.append(f"only {killed} of {len(faults)} runs were killed")
    trial.drain()
    last = run_thalweg(trial.settings, "archive", "--to", str(folder))
    if last.returncode:
        trial.problems.append(f"the archive was not completed: {last.stderr}")
    trial.problems += [f"{path} is left" for path in folder.rglob("*.part")]
    trial.problems += differences(trial.settings, str(folder))
