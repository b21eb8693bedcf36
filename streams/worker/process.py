"""The worker's process: how Python's threads, collector and memory are set for its load."""

import asyncio
import contextlib
import ctypes
import gc
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A thread that waits for the interpreter gets it after this time at the latest. A shorter time costs more CPU, a longer
# time delays small batches (docs/decisions.md#switch-interval).
SWITCH_INTERVAL_S = 0.001
# The cycle collector looks at new containers when there are more than this number. Batches in flight hold half as many
# (docs/decisions.md#collector-thresholds).
COLLECT_AFTER = 1_000_000
# Arrays of this size and more go back to the system when they are freed (docs/decisions.md#mmap-threshold).
MAPPED_BYTES = 4 * 2**20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and numbers of glibc's malloc.h


def tune() -> None:
    """Set up this process. Call it last before the event loop starts, when everything permanent is loaded."""
    rest_the_collector()
    return_large_arrays()
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def rest_the_collector() -> None:
    """Let the cycle collector look seldom, and never at what is loaded by now.

    A batch makes one or two containers for each event, and reference counts free all of them. By default the collector
    would walk through these containers and all modules again and again, an eighth of the worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


def return_large_arrays() -> None:
    """Return arrays of MAPPED_BYTES and more to the system when they are freed, where the C library is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(M_TRIM_THRESHOLD, 2 * MAPPED_BYTES)


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """Run a call that blocks on another system. Raises what the call raises.

    The process may end while the call blocks. Threads of asyncio's executor would keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(finish: Callable[..., None], value: object) -> None:
        if not future.done():
            finish(value)

    def run() -> None:
        try:
            result: object = call()
            finish: Callable[..., None] = future.set_result
        except BaseException as error:
            result, finish = error, future.set_exception
        with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
            loop.call_soon_threadsafe(settle, finish, result)

    threading.Thread(target=run, daemon=True).start()
    return await future
