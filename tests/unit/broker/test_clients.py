"""The stop of a consumer whose broker is lost. tests/e2e has the clients on a real Kafka."""

import asyncio
from typing import Any

import pytest

from streams.broker.clients import stop_consumer


class LostBroker:
    """Stops as aiokafka 0.14.0 does while a fetch waits for a lost broker."""

    async def stop(self) -> None:
        fetch = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        fetch.cancel()
        await fetch


class Slow:
    async def stop(self) -> None:
        await asyncio.sleep(60)


def test_a_fetch_that_is_cancelled_by_the_stop_does_not_cancel_the_command() -> None:
    consumer: Any = LostBroker()
    asyncio.run(stop_consumer(consumer))


def test_a_command_that_is_cancelled_during_the_stop_stays_cancelled() -> None:
    async def cancel() -> None:
        consumer: Any = Slow()
        stopping = asyncio.create_task(stop_consumer(consumer))
        await asyncio.sleep(0)
        stopping.cancel()
        await stopping

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
