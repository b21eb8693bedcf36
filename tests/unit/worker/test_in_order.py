"""Batches work side by side and finish each stage in order. The number of batches in flight has a limit."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from streams.worker.in_order import BATCHES_IN_FLIGHT, BATCHES_TO_STORE, EVENTS_IN_FLIGHT, InFlight, InOrder


async def settle() -> None:
    """Let every task run until all tasks wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def is_waiting(coroutine: Coroutine[Any, Any, None]) -> bool:
    task = asyncio.create_task(coroutine)
    await settle()
    waits = not task.done()
    task.cancel()
    return waits


def test_a_batch_finishes_a_stage_after_every_batch_before() -> None:
    async def run() -> list[tuple[int, str]]:
        in_order, finished = InOrder(), []
        for batch in range(3):
            in_order.enter(batch)

        async def finish(batch: int) -> None:
            for stage in ("publish", "write", "update"):
                await in_order.finish(batch, stage)
                finished.append((batch, stage))

        tasks = []
        for batch in (2, 1, 0):  # The last batch is the first one to be ready.
            assert finished == []
            tasks.append(asyncio.create_task(finish(batch)))
            if batch:
                await settle()
        await asyncio.gather(*tasks)
        return finished

    finished = asyncio.run(run())
    for stage in ("publish", "write", "update"):
        assert [batch for batch, of in finished if of == stage] == [0, 1, 2]


@pytest.mark.parametrize(
    ("fill", "free"),
    [
        (lambda flight: setattr(flight, "processed", BATCHES_TO_STORE), lambda flight: flight.on_stored()),
        (lambda flight: [flight.begin(0) for _ in range(BATCHES_IN_FLIGHT)], lambda flight: flight.end(0)),
        (lambda flight: flight.begin(EVENTS_IN_FLIGHT), lambda flight: flight.end(EVENTS_IN_FLIGHT)),
    ],
    ids=["batches to store", "batches in flight", "events in flight"],
)
def test_no_batch_is_drawn_beyond_a_limit(fill: Callable[[InFlight], None], free: Callable[[InFlight], None]) -> None:
    async def run() -> None:
        flight = InFlight()
        await flight.room()
        fill(flight)
        assert await is_waiting(flight.room())
        waiting = asyncio.create_task(flight.room())
        await settle()
        free(flight)
        await asyncio.wait_for(waiting, timeout=5)

    asyncio.run(run())
