"""Runs `thalweg archive` and kills it (SIGKILL) at a chosen call: `python -m tests.faults.archive_main --to ADDRESS`.

FAULT_POINT names the step and the moment, such as `events:during`. The steps are `read` and the folders of an archive,
`claims`, `events` and `segments`. `during` leaves half of a file. FAULT_CALL is the number of the call of this step,
counted from 1. Without FAULT_POINT, the command runs as usual. SEGMENT_ROWS bounds the segments and the polls, so that
a small topic has several.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.archive import writer
from streams.archive.files import LocalFiles
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

    def wrap(original: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
        def wrapped(self: Any, path: Any, data: Any) -> Any:
            if (name or path.partition("/")[0]) != step or not is_due():
                return original(self, path, data)
            if where == "during":
                part: Path = self._write_part(path, data)
                part.write_bytes(data[: len(data) // 2])
            if where == "after":
                original(self, path, data)
            die()

        return wrapped

    LocalFiles.write = wrap(LocalFiles.write)  # type: ignore[method-assign]
    LocalFiles.create = wrap(LocalFiles.create)  # type: ignore[method-assign]
    SegmentWriter.add = wrap(SegmentWriter.add, "read")  # type: ignore[method-assign]


if __name__ == "__main__":
    if "SEGMENT_ROWS" in os.environ:
        writer.SEGMENT_ROWS = archiving.POLL_RECORDS = int(os.environ["SEGMENT_ROWS"])
    if "FAULT_POINT" in os.environ:
        arm(os.environ["FAULT_POINT"], int(os.environ["FAULT_CALL"]))
    sys.exit(main(["archive", *sys.argv[1:]]))
