"""Follows the topic of the catalogue, from its beginning, while the server runs.

Kafka may be away, and the topic may be missing. The server answers all the same, and the follower tries again.
"""

import asyncio
import logging
import time
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config.errors import BrokerError
from streams.config.settings import Settings
from streams.serve.catalogue.progress import Progress, State
from streams.serve.catalogue.reading import Reading
from streams.serve.following import connected, keep_following, subscribe_when_there

logger = logging.getLogger(__name__)

POLL_RECORDS = 500  # applying so many takes about 2 ms, for which no request is answered
POLL_S = 0.5
LOOK_EVERY_S = 1.0  # between two looks at the end of the topic
LOOK_TIMEOUT_S = 10.0
RETRY_S = 2.0
ASSIGNMENT_POLL_S = 0.05


class CatalogueFollower:
    """Reads the catalogue and keeps `progress` up to date.

    After Kafka was away, the topic is read from its beginning again. The catalogue of before stays until then.
    """

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._progress = progress
        self._settings = settings
        self._topic = settings.catalogue_topic
        self._has_news = asyncio.Event()

    async def follow(self) -> None:
        """Follow until cancelled."""
        await keep_following(
            self._follow_once,
            "the catalogue of items cannot be followed",
            RETRY_S,
            ended_once=lambda: self._set("unreachable"),
        )

    async def wait_for_first_reading(self, timeout_s: float) -> None:
        """Wait until the catalogue is loaded, or until there is nothing to load, at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._progress.is_pending:
                    await self._has_news.wait()
                    self._has_news.clear()
        except TimeoutError:
            logger.warning(
                "the catalogue of items is still being read: %d records are left", self._progress.lag_records
            )

    async def _follow_once(self) -> None:
        """Read the topic from its beginning, and follow it. Raises BrokerError."""
        request_timeout_ms = int(LOOK_TIMEOUT_S * 1000)
        async with connected(self._settings, self._topic, request_timeout_ms=request_timeout_ms) as consumer:
            await subscribe_when_there(consumer, self._topic, lambda: self._set("absent"))
            if not self._progress.has_loaded:
                self._set("loading")
            await self._read(consumer)

    async def _read(self, consumer: AIOKafkaConsumer) -> NoReturn:
        reading, began_s = Reading(self._topic), time.monotonic()
        positions: dict[TopicPartition, int] = {}
        looked_s, is_complete = 0.0, False
        while True:
            if not consumer.assignment():
                if positions:
                    raise BrokerError(f"topic {self._topic} was deleted; the items that were read stay")
                await asyncio.sleep(ASSIGNMENT_POLL_S)
                continue
            fetched = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=POLL_RECORDS)
            for records in fetched.values():
                reading.apply(records)
            self._progress.broken = reading.broken
            may_be_complete = not is_complete and sum(map(len, fetched.values())) < POLL_RECORDS
            if may_be_complete or time.monotonic() - looked_s >= LOOK_EVERY_S:
                self._progress.lag_records, looked_s = await self._look(consumer, positions), time.monotonic()
                if not self._progress.lag_records and not is_complete:
                    is_complete = True
                    self._replace(reading, time.monotonic() - began_s)
            await asyncio.sleep(0)  # A fetch that is there already gives no other task a turn.

    def _replace(self, reading: Reading, seconds: float) -> None:
        catalogue = self._progress.catalogue = reading.catalogue
        self._progress.has_loaded = True
        self._set("following")
        logger.info(
            "the catalogue has %d items, of %d records read in %.1f s, %d of them broken",
            catalogue.items,
            reading.records,
            seconds,
            reading.broken,
        )

    async def _look(self, consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]) -> int:
        """The number of records that are not read yet.

        positions: those of the look before, which are replaced. Raises BrokerError where Kafka does not answer, and
        where the topic was made again.
        """
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                partitions = consumer.assignment()
                ends = await consumer.end_offsets(partitions)
                now = {tp: await consumer.position(tp) for tp in partitions}
        except TimeoutError:
            raise BrokerError(f"no answer of {self._settings.broker} within {LOOK_TIMEOUT_S:g} s") from None
        if any(now[tp] < positions.get(tp, 0) or ends[tp] < now[tp] for tp in partitions):
            raise BrokerError(f"topic {self._topic} ends before what was read of it, so it is read from its beginning")
        positions.update(now)
        return sum(ends[tp] - now[tp] for tp in partitions if not _is_before_open_transaction(consumer, tp, now[tp]))

    def _set(self, state: State) -> None:
        self._progress.state = state
        self._has_news.set()


def _is_before_open_transaction(consumer: AIOKafkaConsumer, tp: TopicPartition, position: int) -> bool:
    """Whether everything that is committed was read, although records of an open transaction stand behind."""
    stable: int | None = consumer.last_stable_offset(tp)
    return stable is not None and 0 <= stable <= position
