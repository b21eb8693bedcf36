"""Runs `thalweg worker` and kills it (SIGKILL) at a chosen call.

`python -m tests.faults.programs.worker_main [OPTIONS]` runs one worker.

OPTIONS are those of `thalweg worker`.

FAULT_POINT names the call and the moment, such as `write:before`, `publish:during` or `erase:after`. Without it, the
program runs as usual. FAULT_CALL is the number of the call, counted from 1. FAULT_DELAY_MS is the time from the
beginning of the call to the kill, for `during`.

FAULT_CLOCK_S is how far the clock of the process is ahead, in every time stamp that the process makes.
"""

import asyncio
import os
import signal
import sys
import time
from typing import Any

from streams.broker.publisher import Publisher
from streams.cli import main
from streams.store.positions.pending_erasures import PendingErasures
from streams.store.user_rows import UserRows

CALLS: dict[str, type] = {
    "publish": Publisher,
    "update": Publisher,
    "read": UserRows,
    "write": UserRows,
    "erase": UserRows,
    "drop_passed": PendingErasures,  # follows each commit of a backfill
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, call: int, delay_s: float) -> None:
    """Make this process kill itself at the `call`th call of the method that `point` names."""
    name, _, where = point.partition(":")
    owner = CALLS[name]
    original = getattr(owner, name)
    count = 0

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count != call:
            return await original(*args, **kwargs)
        if where == "before":
            die()
        if where == "during":
            asyncio.get_running_loop().call_later(delay_s, die)
        result = await original(*args, **kwargs)
        die()  # for `after`, and for `during` if the call ended before the delay
        return result

    setattr(owner, name, wrapped)


def set_clock_ahead(ahead_s: float) -> None:
    """Let Python's `time.time` and `time.time_ns`, of which all time stamps of a worker come, tell a later time."""
    true_s, true_ns = time.time, time.time_ns
    if ahead_s:
        time.time = lambda: true_s() + ahead_s
        time.time_ns = lambda: true_ns() + int(ahead_s * 1e9)


def arm_from_environment() -> None:
    """Make this process kill itself as the environment says."""
    set_clock_ahead(float(os.environ.get("FAULT_CLOCK_S", "0")))
    if "FAULT_POINT" in os.environ:
        delay_s = float(os.environ.get("FAULT_DELAY_MS", "0")) / 1000
        arm(os.environ["FAULT_POINT"], int(os.environ["FAULT_CALL"]), delay_s)


if __name__ == "__main__":
    arm_from_environment()
    sys.exit(main(["worker", *sys.argv[1:]]))
