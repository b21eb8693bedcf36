"""The Faust application of a worker: settings, the batch transport, the agent, and what starts and stops with it."""

import asyncio
import getpass
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import TRANSPORTS
from faust.types import TP

from export.runtime.bundle import Bundle
from streams.broker import transport
from streams.broker.publisher import Publisher
from streams.config.errors import ThalwegError
from streams.config.security import SCRAM, tls_context
from streams.config.settings import Settings
from streams.health.endpoints import Endpoints
from streams.health.metrics import Measures
from streams.health.watchdog import Watchdog
from streams.store.user_rows import Store
from streams.worker.pipeline import Pipeline, follow
from streams.worker.registration import Registration
from streams.worker.source import Source

logger = logging.getLogger(__name__)

TRANSPORT = "thalweg"
# A commit makes a restart replay less; it costs one request to the broker. Replays are recognised, so once a second is
# plenty.
COMMIT_INTERVAL_S = 1.0
# Batches that wait between the fetcher and the agent, for each partition: enough to never starve it.
QUEUED_BATCHES = 2
# A rebalance waits for batches in flight, and those for Kafka and Cassandra; above it the group goes on without them.
REBALANCE_TIMEOUT_S = 60.0
WATCH_S = 2.0  # between looks at whether there is progress: small against SLOW_S
HAND_OVER_POLL_S = 1.0
LOOK_AGAIN_S = 2.0
POLL_INTERVAL_S = 1000.0  # far above the slowest batch: a slow batch must not cost the partition


class App(faust.App):
    """A Faust application that starts the outputs before the consumer and stops them after the last batch."""

    outputs: Callable[[], Awaitable[None]]
    outputs_stop: Callable[[], Awaitable[None]]
    begin_assignment: Callable[[Collection[int]], Awaitable[Collection[int]]]  # partitions -> those to hold
    expired: Callable[[int], None]  # records that retention deleted before they were read
    stopping: Callable[[], None]

    async def on_start(self) -> None:
        await super().on_start()
        await self.outputs()

    async def stop(self) -> None:
        self.stopping()
        await super().stop()

    async def on_stop(self) -> None:
        await super().on_stop()  # waits for batches in flight and commits them
        await self.outputs_stop()


def build(
    settings: Settings,
    bundle: Bundle,
    source: Source,
    pipeline: Pipeline,
    store: Store,
    publisher: Publisher,
    measures: Measures,
    watchdog: Watchdog,
) -> App:
    """The application, not started. One a process: Faust keeps its transports in a global registry."""
    TRANSPORTS.aliases[TRANSPORT] = "streams.broker.transport:BatchTransport"
    transport.BATCH_TOPICS.add(settings.behavior_topic)
    app = App(
        settings.consumer_group_id(bundle.bundle_id),
        broker=[f"{TRANSPORT}://{address.strip()}" for address in settings.broker.split(",")],
        broker_credentials=_credentials(settings),
        store="memory://",
        web_enabled=False,
        datadir=str(
            Path(tempfile.gettempdir()) / f"thalweg-{getpass.getuser()}"
        ),  # asked for, but no table of ours is kept there
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        ConsumerScheduler=transport.BatchScheduler,
        stream_buffer_maxsize=QUEUED_BATCHES,
        stream_wait_empty=True,  # a rebalance and a shutdown wait for what was taken
        broker_max_poll_records=settings.batch_max_events,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_session_timeout=float(settings.session_timeout_s),
        broker_heartbeat_interval=settings.session_timeout_s / 3,
        broker_request_timeout=max(90.0, settings.session_timeout_s + 1.0),
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_max_poll_interval=POLL_INTERVAL_S,
        consumer_metadata_max_age_ms=int(max(1.0, min(30.0, settings.partition_handover_s / 2)) * 1000),
        table_standby_replicas=1,  # keeps Faust's co-partitioning assignor
    )
    topic = app.topic(
        settings.behavior_topic, schema=transport.BatchSchema(key_type=bytes, value_type=bytes), maxsize=QUEUED_BATCHES
    )
    follow(app, topic, pipeline, settings.batch_max_events)
    measures.lag.read = _lag(app, settings.behavior_topic, measures)
    endpoints = Endpoints(
        settings.http_host, settings.http_port, measures.registry, watchdog.health, lambda: _has_assignment(app)
    )
    state = Assignment(app, source, publisher)
    app.begin_assignment = state.begin
    app.expired = measures.expired_records.inc
    app.stopping = watchdog.stopping
    app.task(partial(_watch, app, watchdog, measures))
    app.task(state.hand_over)
    registration = Registration(store, bundle.manifest.items, partial(_holds, app, settings.behavior_topic))
    measures.item_vectors.set_function(lambda: registration.stored)
    app.task(registration.run)

    async def start() -> None:
        await publisher.start()
        print(f"thalweg worker: metrics at {await endpoints.start()}/metrics", flush=True)

    async def stop() -> None:
        await endpoints.stop()
        await registration.stop()
        await publisher.stop()
        store.close()

    app.outputs, app.outputs_stop = start, stop
    return app


class Assignment:
    """What happens around an assignment of partitions."""

    def __init__(self, app: App, source: Source, publisher: Publisher) -> None:
        self._app = app
        self._source = source
        self._publisher = publisher
        self._held: Collection[int] = ()

    async def begin(self, partitions: Collection[int]) -> Collection[int]:
        """Fence earlier owners and look at the topic, before anything of it is read: the partitions to hold."""
        if self._app.should_stop:  # a rebalance that the end of another worker began
            return partitions
        await self._publisher.own(partitions)
        while True:  # the group may rebalance while Cassandra is away: that is no reason to end
            try:
                self._held = (await asyncio.to_thread(self._source.look)).held
                return self._held
            except ThalwegError as error:
                if not error.retryable or self._app.should_stop:
                    raise
                logger.warning("the topic's epoch is not known yet: %s", error)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def hand_over(self) -> None:
        """Wait until held partitions may be read, then have the group rebalance."""
        while not self._app.should_stop:
            await asyncio.sleep(HAND_OVER_POLL_S)
            if not self._held or self._app.rebalancing:
                continue
            try:
                if await asyncio.to_thread(self._source.hand_over):
                    self._held = ()
                    await self._app.consumer.rejoin()
            except ThalwegError as error:
                if not error.retryable:
                    raise
                logger.warning("held partitions go on waiting: %s", error)


async def _watch(app: App, watchdog: Watchdog, measures: Measures) -> None:
    """Tell the watchdog, again and again, whether there is work and whether it got on."""
    while not app.should_stop:
        await asyncio.sleep(WATCH_S)
        try:
            consumer = app.consumer
            tps = [tp for tp in consumer.assignment() if tp not in consumer.held]
            async with asyncio.timeout(WATCH_S):
                has_work = app.rebalancing or consumer.batches_in_flight > 0 or await consumer.reading(tps)
        except (TimeoutError, KafkaError, ConsumerNotStarted):
            has_work = True  # nobody knows
        marks = (measures.batches_confirmed, measures.rebuild_records, tuple(sorted(measures.next_offset.items())))
        watchdog.progress.observe(time.monotonic(), has_work, marks)


def _credentials(settings: Settings) -> Any:
    context = tls_context(settings, "broker")
    if settings.broker_user:
        return faust.SASLCredentials(
            username=settings.broker_user, password=settings.broker_password, ssl_context=context, mechanism=SCRAM
        )
    return None if context is None else faust.SSLCredentials(context)


def _lag(app: faust.App, topic: str, measures: Measures) -> Callable[[], dict[int, int]]:
    def read() -> dict[int, int]:
        consumer, lags = app.consumer, {}
        for tp in _assignment(app):
            end = consumer.highwater(tp)
            if tp.topic == topic and end is not None:
                start = measures.next_offset.get(tp.partition, consumer._committed_offset[TP(*tp)] or 0)
                lags[tp.partition] = max(0, end - start)
        return lags

    return read


def _assignment(app: faust.App) -> set[TP]:
    try:
        return set(app.consumer.assignment())
    except ConsumerNotStarted:
        return set()


def _holds(app: faust.App, topic: str, partition: int) -> bool:
    return not app.rebalancing and TP(topic, partition) in _assignment(app)


def _has_assignment(app: faust.App) -> bool:
    return not app.rebalancing and bool(_assignment(app))
