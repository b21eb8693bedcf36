"""Opening the Kafka clients of aiokafka, and turning their errors into BrokerErrors. The only place that does so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from streams.broker.compression import use_fastest_levels
from streams.broker.error_codes import describe, learn_newer_codes
from streams.broker.topics import NO_BROKER_REMEDY
from streams.config.errors import BrokerError
from streams.config.security import aiokafka_arguments
from streams.config.settings import Settings

learn_newer_codes()
use_fastest_levels()


@contextlib.contextmanager
def kafka_errors(failure: str | Callable[[], str]) -> Iterator[None]:
    """Turn a KafkaError inside the block into a BrokerError.

    failure: says what failed, and begins the message. A function is called when the error comes.
    """
    try:
        yield
    except KafkaError as error:
        raise BrokerError(f"{failure if isinstance(failure, str) else failure()}: {describe(error)}") from error


@contextlib.contextmanager
def no_broker_errors(settings: Settings) -> Iterator[None]:
    """Turn a KafkaError while a client connects into a BrokerError with a remedy."""
    try:
        yield
    except KafkaConnectionError as error:
        raise BrokerError(f"no broker answers at {settings.broker}: {error}; {NO_BROKER_REMEDY}") from error
    except KafkaError as error:
        raise BrokerError(f"the broker at {settings.broker} refused this client: {describe(error)}") from error


@contextlib.asynccontextmanager
async def open_consumer(settings: Settings, failure: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer (`make_consumer`). A KafkaError inside the block becomes a BrokerError (`kafka_errors`)."""
    consumer = make_consumer(settings, **options)
    try:
        with kafka_errors(failure):
            await consumer.start()
            yield consumer
    finally:
        await stop_consumer(consumer)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop the consumer. A fetch that waits for a lost broker raises CancelledError (aiokafka 0.14.0)."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise


@contextlib.asynccontextmanager
async def open_producer(settings: Settings, failure: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer. A KafkaError inside the block becomes a BrokerError (`kafka_errors`)."""
    producer = make_producer(settings, **options)
    try:
        with kafka_errors(failure):
            await producer.start()
            yield producer
    finally:
        await producer.stop()


def make_consumer(settings: Settings, auto_offset_reset: str = "earliest", **options: Any) -> AIOKafkaConsumer:
    """A consumer of committed records, not started, that commits nothing.

    Records of an aborted transaction never happened, and records of an open transaction have not happened yet. Where
    retention deletes records before they are read, the consumer goes on at the first record that is left. aiokafka's
    default goes on at the end, and would skip the records between without an error. auto_offset_reset: "none" raises an
    OffsetOutOfRangeError instead.
    """
    return AIOKafkaConsumer(
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset=auto_offset_reset,
        **options,
        **aiokafka_arguments(settings),
    )


def make_producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """A producer, not started, whose records are acknowledged by all in-sync replicas and written once."""
    return AIOKafkaProducer(acks="all", enable_idempotence=True, **options, **aiokafka_arguments(settings))
