"""Calls in threads beside the event loop, for which a request waits a limited time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from streams.serve.http.problems import unavailable

T = TypeVar("T")


async def called(threads: Executor, call: Callable[[], T], timeout_s: float, too_late: str) -> T:
    """What the call returns. Raises what the call raises, and ProblemError with `too_late` after `timeout_s`.

    The call goes on in its thread after the time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.get_running_loop().run_in_executor(threads, call)
    except TimeoutError:
        raise unavailable(too_late) from None
