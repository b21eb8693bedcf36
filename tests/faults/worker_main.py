"""`thalweg worker` that kills itself (SIGKILL) at one of its calls: `python -m tests.faults.worker_main`.

FAULT_POINT: the call and where in it, as `write:before`, `publish:during`, `erase:after`; nothing happens without it.
FAULT_CALL: which of the calls, counted from 1. FAULT_DELAY_MS: how long after the beginning, for `during`.
"""

import asyncio
import os
import signal
import sys
from typing import Any

from streams.broker.publisher import Publisher
from streams.cli import main
from streams.store.user_rows import Store

CALLS: dict[str, type] = {"publish": Publisher, "write": Store, "erase": Store}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, call: int, delay_s: float) -> None:
    """Let the `call`th call of `point` be the last thing that this process does."""
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
        die()  # `after`, and `during` where the call took less than the delay
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    if "FAULT_POINT" in os.environ:
        delay_s = float(os.environ.get("FAULT_DELAY_MS", "0")) / 1000
        arm(os.environ["FAULT_POINT"], int(os.environ["FAULT_CALL"]), delay_s)
    sys.exit(main(["worker"]))
