"""Reads the events of one user from the tail of the user's partition, within stated bounds.

Rows hold no events, and the effect of an event needs all events of the user. The row names its last event, so the
partition is read backwards from there, until there are as many events as the row has applied. Every method blocks.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition

from encoder.data.events import BehaviorEvent
from streams.broker.clients import open_consumer
from streams.broker.topic_reader import read_partition
from streams.config.errors import ThalwegError
from streams.config.settings import Settings
from streams.engine.codec import Erasure, Outcome, RecordDecoder, Several, decode_records_of
from streams.engine.state_cell import StoredPosition
from streams.serve.explanations.effects import UserRecord
from streams.store.bundles.held_rows import HeldRows
from streams.store.session import Session

CHUNK_RECORDS = 5_000
MOST_RECORDS = 50_000  # of the partition, of all users
LIMIT_S = 2.0
REQUEST_TIMEOUT_MS = 2_000  # a broker that does not answer holds the thread of the explanations for so long


class HistoryError(ThalwegError):
    """The events of a user cannot be had."""

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class HistoryReader:
    """Reads the events that rows are made of."""

    def __init__(self, settings: Settings, session: Session, decoder: RecordDecoder) -> None:
        self._settings = settings
        self._decoder = decoder
        self._held = HeldRows(session, settings.keyspace)

    @property
    def user_ttl_ms(self) -> int | None:
        """How long a user may stay away before the user's history expires, None without a limit."""
        return self._settings.user_ttl_ms

    def read(self, user_id: str, bundle_id: str, steps: int) -> Sequence[UserRecord]:
        """At least `steps` events of the user, the oldest first, up to the last event of the row. The first ones may
        belong to a history that has expired.

        user_id: as the row has it. steps: the number of events that the row of this bundle has applied. Raises
        HistoryError where the topic does not show so many within the bounds. Raises BrokerError, StoreError.
        """
        position = next((row.position for row in self._held.rows(user_id) if row.bundle_id == bundle_id), None)
        if position is None:
            raise HistoryError("the row has gone, or does not say where its events are; ask again", retryable=True)
        return asyncio.run(self._read(user_id, position, steps))

    async def _read(self, user_id: str, position: StoredPosition, steps: int) -> Sequence[UserRecord]:
        topic, partition = self._settings.behavior_topic, position.partition
        failure = f"topic {topic} on {self._settings.broker} could not be read"
        give_up_at_s = time.monotonic() + LIMIT_S
        found: list[UserRecord] = []
        options = {"max_poll_records": CHUNK_RECORDS, "request_timeout_ms": REQUEST_TIMEOUT_MS}
        async with open_consumer(self._settings, failure, **options) as consumer:
            at = TopicPartition(topic, partition)
            first = (await consumer.beginning_offsets([at]))[at]
            last = end = position.offset + 1
            while (begin := max(first, end - CHUNK_RECORDS, last - MOST_RECORDS)) < end:
                records: list[Any] = []
                outcomes: list[Outcome] = []
                async for polled in read_partition(consumer, topic, partition, begin, end):
                    of_user = decode_records_of(self._decoder, polled, {user_id})
                    records += of_user[0]
                    outcomes += of_user[1]
                    if time.monotonic() > give_up_at_s:
                        raise HistoryError(
                            f"topic {topic} partition {partition} was not read back to the user's first event within "
                            f"{LIMIT_S:g} s"
                        )
                chunk, is_all = _after_erasure(records, outcomes)
                found = chunk + found
                if is_all or _distinct_events(found) >= steps:
                    return found
                end = begin
        read = "which is the most for an answer" if last - end >= MOST_RECORDS else "and the topic holds no older ones"
        raise HistoryError(
            f"{_distinct_events(found)} of the user's {steps} events are among the {last - end} records read back from "
            f"the user's last event, {read}; the effects need all events"
        )


def _after_erasure(records: Sequence[Any], outcomes: Sequence[Outcome]) -> tuple[list[UserRecord], bool]:
    """The records with events behind the last erasure among these records, and whether there is an erasure."""
    found: list[UserRecord] = []
    is_erased = False
    for record, outcome in zip(records, outcomes, strict=True):
        if isinstance(outcome, Erasure):
            found, is_erased = [], True
        elif isinstance(outcome, BehaviorEvent | Several):
            found.append(UserRecord(record.offset, record.timestamp, outcome))
    return found, is_erased


def _distinct_events(records: Sequence[UserRecord]) -> int:
    return len({event_id for record in records for event_id in record.event_ids()})
