"""Whole record batches through Faust: one Faust message holds all records that a poll returned for one partition.

Faust's machinery costs about 70 us of CPU a message. A batch shares the cost among its events
(docs/decisions.md#record-batches-as-faust-messages). Fetching, flow control, rebalancing, generation checks and the
timing of commits stay those of Faust. Topics that were given to `deliver_as_batches` differ in three points:

- The scheduler yields (partition, list of records) instead of (partition, record).
- The offset of a message is the *last* offset of its batch. With the first offset, Faust would take the rest of an
  unacknowledged batch for a gap in the topic and commit past it, which loses records.
- A ledger of a partition's batches in reading order decides what may be committed: everything up to the first batch
  that is not acknowledged. Faust's own bookkeeping counts single offsets, and is bypassed.

Not guaranteed: a batch may be delivered again after a crash, a rebalance or a failed commit. The agent must recognise
events that are already applied.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from faust.serializers.schemas import Schema
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers.aiokafka import Transport as AiokafkaTransport
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from streams.broker.consumer import BatchConsumer
from streams.broker.consumer_thread import BATCH_TOPICS

URL_SCHEME = "thalweg"  # of a broker's address in Faust's settings


def deliver_as_batches(topic: str) -> None:
    """Deliver this topic as batches in this process. The topics are global, because Faust makes schedulers itself."""
    TRANSPORTS.aliases[URL_SCHEME] = "streams.broker.transport:BatchTransport"
    BATCH_TOPICS.add(topic)


class BatchScheduler(DefaultSchedulingStrategy):
    """Yields a partition's records as one list for batch topics, and in Faust's order for all other topics."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        others: dict[TP, list[Any]] = {}
        for tp, batch in records.items():
            if tp.topic in BATCH_TOPICS:
                if batch:
                    yield tp, batch
            else:
                others[tp] = batch
        if others:
            yield from super().iterate(others)


class BatchSchema(Schema):
    """Makes a Faust event of a batch without decoding, so it cannot fail. The worker decodes the records one by one."""

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(message.key, message.value, headers=None, message=message)

        return decode


class BatchTransport(AiokafkaTransport):
    """Faust's aiokafka transport with batch delivery."""

    Consumer = BatchConsumer
