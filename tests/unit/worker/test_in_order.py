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


def process(flight: InFlight, batches: int) -> None:
    """Process batches. The last batch is still being processed."""
    for _ in range(batches - 1):
        flight.processed = flight.start()
    flight.start()


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


def test_a_failed_batch_lets_the_batches_behind_it_fail_and_no_others() -> None:
    async def run() -> None:
        in_order = InOrder()
        for batch in range(3):
            in_order.enter(batch)
        behind = asyncio.create_task(in_order.finish(2, "write"))
        await settle()
        in_order.fail(1, RuntimeError("the store is away"))
        with pytest.raises(RuntimeError, match="the store is away"):
            await asyncio.wait_for(behind, timeout=5)
        await asyncio.wait_for(in_order.finish(0, "write"), timeout=5)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fill", "free"),
    [
        (lambda flight: process(flight, BATCHES_TO_STORE), lambda flight: flight.on_stored()),
        (lambda flight: [flight.begin(n, 0) for n in range(BATCHES_IN_FLIGHT)], lambda flight: flight.end(0)),
        (lambda flight: flight.begin("large", EVENTS_IN_FLIGHT), lambda flight: flight.end("large")),
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
