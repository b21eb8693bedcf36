"""What the followers of topics share: to connect, to try again, and to end. Kafka may be away for any time."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NoReturn

from aiokafka import AIOKafkaConsumer

from streams.broker.clients import kafka_errors, make_consumer, no_broker_errors
from streams.config.errors import BrokerError, ThalwegError
from streams.config.settings import Settings

logger = logging.getLogger(__name__)

CONNECT_WITHIN_S = 5.0
LOOK_EVERY_S = 1.0  # for a topic that does not exist yet
STOP_S = 3.0
HEALTHY_S = 60.0  # a following that lasted so long had connected, so that its end is news


async def keep_following(
    follow: Callable[[], Awaitable[None]], failure: str, retry_s: float, ended_once: Callable[[], None] = lambda: None
) -> NoReturn:
    """Call `follow` again, `retry_s` after it ended or failed, until cancelled. The log has the first failure of a row.

    failure: what fails, which begins the line of the log. ended_once: called whenever `follow` ended or failed.
    """
    is_told = False
    while True:
        began_s = time.monotonic()
        try:
            await follow()
            is_told = False
        except Exception as error:  # Nothing that goes wrong here may end the server, or end the following.
            if not is_told or time.monotonic() - began_s > HEALTHY_S:
                logger.warning("%s: %s", failure, error, exc_info=not isinstance(error, ThalwegError))
            is_told = True
        ended_once()
        await asyncio.sleep(retry_s)


@contextlib.asynccontextmanager
async def connected(settings: Settings, topic: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A connected consumer (`make_consumer`) of a topic, which the block subscribes or assigns.

    Raises BrokerError, also for the errors of Kafka inside the block.
    """
    consumer = make_consumer(settings, **options)
    try:
        with no_broker_errors(settings):
            try:
                # asyncio.wait_for of Python 3.11 swallows a cancellation where the start fails at the same moment.
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    await consumer.start()
            except TimeoutError:
                raise BrokerError(f"no answer of {settings.broker} within {CONNECT_WITHIN_S:g} s") from None
        with kafka_errors(f"topic {topic} at {settings.broker} could not be read"):
            yield consumer
    finally:
        await ended(consumer.stop())


async def subscribe_when_there(
    consumer: AIOKafkaConsumer, topic: str, is_absent: Callable[[], None] = lambda: None
) -> None:
    """Subscribe a topic as soon as the topic exists. is_absent: called whenever the topic does not exist."""
    while topic not in await consumer.topics():
        is_absent()
        await asyncio.sleep(LOOK_EVERY_S)
    consumer.subscribe([topic])


async def ended(stopping: Coroutine[Any, Any, None]) -> None:
    """Wait for the stop of a consumer. A stop that takes longer than STOP_S is left alone.

    The stop of a consumer without an assignment raises CancelledError (aiokafka 0.14.0), which ends its own task alone.
    """
    stop = asyncio.create_task(stopping)
    await asyncio.wait([stop], timeout=STOP_S)
    if stop.done() and not stop.cancelled():
        stop.result()
