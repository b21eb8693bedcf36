"""Runs `thalweg archive` again and again, and each run kills itself (SIGKILL) at a chosen call.

`FAULTS="claims:after=1 events:during=2" python -m tests.faults.programs.archive_main --to ADDRESS` makes two runs. A
fault names the step, the moment and the number of the step's call, counted from 1. The steps are `read` and the folders
of an archive, `claims`, `events` and `segments`. `during` leaves half of a file in a local folder. SEGMENT_ROWS bounds
the segments and the polls, so that a small topic has several segments. The runs are forks of this process, which has
loaded all modules. Each prints a line with its fault and its exit code, which is -9 for a run that was killed.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.archive import writer
from streams.archive.files import LocalFiles, ObjectFiles
from streams.archive.writer import SegmentWriter
from streams.cli import main
from streams.commands.archive import archiving

MOMENTS = ("before", "during", "after")
POINTS = ["read:before", *(f"{step}:{at}" for step in ("claims", "events", "segments") for at in MOMENTS)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, call: int) -> None:
    """Make this process kill itself at the `call`th call of the step that `point` names."""
    step, _, where = point.partition(":")
    count = 0

    def is_due() -> bool:
        nonlocal count
        count += 1
        return count == call

    def wrap(original: Callable[..., Any], only: str) -> Callable[..., Any]:
        """only: the step of every call; empty where the path of the call tells the step."""

        def wrapped(self: Any, path: Any, data: Any) -> Any:
            if (only or path.partition("/")[0]) != step or not is_due():
                return original(self, path, data)
            if where == "during":
                part: Path = self._write_part(path, data)
                part.write_bytes(data[: len(data) // 2])
            if where == "after":
                original(self, path, data)
            die()

        return wrapped

    calls = [(owner, name, "") for owner in (LocalFiles, ObjectFiles) for name in ("write", "create")]
    for owner, name, only in [*calls, (SegmentWriter, "add", "read")]:
        setattr(owner, name, wrap(getattr(owner, name), only))


def run_forked(fault: str) -> int:
    """Run the command in a child process, and return its exit code."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        point, _, call = fault.partition("=")
        arm(point, int(call))
        os._exit(main(["archive", *sys.argv[1:]]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    writer.SEGMENT_ROWS = archiving.POLL_RECORDS = int(os.environ["SEGMENT_ROWS"])
    for fault in os.environ["FAULTS"].split():
        print(fault, run_forked(fault))
