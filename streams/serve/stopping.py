"""The end of a consumer of Kafka, which must hold up neither the end of the server nor a further try."""

import asyncio
from collections.abc import Coroutine
from typing import Any

STOP_S = 3.0


async def ended(stopping: Coroutine[Any, Any, None]) -> None:
    """Wait for the stop of a consumer. A stop that takes longer than STOP_S is left alone.

    The stop of a consumer without an assignment raises CancelledError (aiokafka 0.14.0), which ends its own task alone.
    """
    stop = asyncio.create_task(stopping)
    await asyncio.wait([stop], timeout=STOP_S)
    if stop.done() and not stop.cancelled():
        stop.result()
