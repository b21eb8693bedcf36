"""The Faust application of a worker: its settings, its agent, and what starts and stops with it."""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import faust
from aiokafka.errors import KafkaError
from faust.auth import OAuthCredentials
from faust.exceptions import ConsumerNotStarted
from faust.tables.manager import TableManager
from faust.types import TP
from mode import CrashingSupervisor

from streams.broker import transport
from streams.broker.consumer import Opened
from streams.broker.decoding.schemas import Schemas
from streams.broker.publisher import Publisher
from streams.config.security import aiokafka_arguments
from streams.config.settings import Settings
from streams.health.endpoints import Endpoints
from streams.health.metrics import WorkerMetrics
from streams.health.tracing import Tracing
from streams.health.watchdog import Watchdog
from streams.store.items.registration import Registration
from streams.store.store import Store
from streams.worker.absence.sweep import Sweep
from streams.worker.assignment import Handover
from streams.worker.intake import Delivery, Intake
from streams.worker.pipeline import Pipeline
from streams.worker.residency import Residency

# A commit costs one request to the broker and shortens the replay after a restart. A replay is recognised, so one
# commit a second is enough.
COMMIT_INTERVAL_S = 1.0
# Batches that wait between the fetcher and the agent, for each partition. With two the agent never waits for records.
QUEUED_BATCHES = 2
# Faust's default of 1 MiB gives a worker that is behind smaller micro-batches, which write more rows
# (docs/decisions.md#larger-fetches).
FETCH_BYTES = 4 * 2**20  # of one partition
# A rebalance waits for batches in flight, which wait for Kafka and Cassandra. After this time the group goes on without
# this worker.
REBALANCE_TIMEOUT_S = 60.0
WATCH_S = 2.0  # between looks at the progress; short against the watchdog's SLOW_S
# A member learns of a rebalance by the answer to a heartbeat, and the group waits for every member. So another worker
# that joins waits about as long (docs/decisions.md#heartbeats-of-a-group).
HEARTBEAT_INTERVAL_S = 1.0
POLL_INTERVAL_S = 1000.0  # far above the time of the slowest batch, so that a slow batch does not cost the partition


class Parts(NamedTuple):
    """What an application starts, runs and stops."""

    intake: Intake
    pipeline: Pipeline
    residency: Residency
    handover: Handover
    registration: Registration
    publisher: Publisher
    endpoints: Endpoints
    store: Store
    watchdog: Watchdog
    metrics: WorkerMetrics
    tracing: Tracing | None
    sweep: Sweep | None  # where users expire
    schemas: Schemas | None  # of the schema registry, where the settings name one


class NoTables(TableManager):
    """Starts at once. Faust would first wait a second for tables to be registered, and a worker has no tables."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class App(faust.App):
    """A Faust application that starts the outputs before the consumer, and stops them after the last batch.

    One process can hold one application, because Faust keeps its transports in a global registry.
    """

    def __init__(
        self,
        settings: Settings,
        group_id: str,
        make_parts: Callable[["App"], Parts],
        announce: Callable[[str, str], None],
        instance_id: str | None,
    ) -> None:
        """announce: gets the address of the HTTP endpoints and the id of the consumer group.
        instance_id: makes the worker a static member of the group.
        """
        transport.deliver_as_batches(settings.behavior_topic)
        super().__init__(group_id, consumer_group_instance_id=instance_id, **_options(settings))
        self._announce = announce
        self.parts = make_parts(self)
        schema = transport.BatchSchema(key_type=bytes, value_type=bytes)
        topic = self.topic(settings.behavior_topic, schema=schema, maxsize=QUEUED_BATCHES)
        # A failed agent ends the process. Faust would otherwise restart the agent behind the lost batch.
        self.agent(topic, name="representations", concurrency=1, supervisor_strategy=CrashingSupervisor)(self._offer)
        self.on_partitions_revoked.connect(self._forget, weak=False)
        self.on_partitions_assigned.connect(self._forget, weak=False)
        self.task(self._watch)
        self.task(self.parts.handover.run)
        self.task(self.parts.registration.run)
        if self.parts.sweep is not None:
            self.task(self.parts.sweep.run)

    async def begin_assignment(self, partitions: Collection[int]) -> Opened:
        """Called by the consumer before anything of the assigned partitions is read."""
        return await self.parts.handover.begin(partitions)

    async def confirm_topic(self) -> None:
        """Called by the consumer for records that came after a while in which nobody watched the topic."""
        await self.parts.handover.confirm_topic()

    async def before_commit(self, offsets: Mapping[int, int]) -> None:
        """Called by the consumer before a commit of the offsets of these partitions."""
        await self.parts.handover.store_positions(offsets)

    def on_expired_records(self, count: int) -> None:
        """Called by the consumer for records that retention deleted before they were read."""
        self.parts.metrics.expired_records.inc(count)

    def announce_stop(self) -> None:
        """Tell the watchdog of a stop before the stop begins, because a hanging step may keep it from beginning."""
        self.parts.watchdog.watch_stop()

    async def on_start(self) -> None:
        await super().on_start()
        await self.parts.publisher.start()
        self._announce(await self.parts.endpoints.start(), self.conf.id)
        self.add_future(self.parts.pipeline.run())

    def _create_directories(self) -> None:
        """Create no folder. Faust would leave an empty folder for tables, which a worker does not have."""

    async def stop(self) -> None:
        self.announce_stop()
        await super().stop()

    async def on_stop(self) -> None:
        # This call waits for batches in flight and commits them, unless the worker has crashed.
        await super().on_stop()
        if self._consumer is not None:  # Faust commits once more after this method, when the store is closed.
            await self._consumer.commit_all()
        self.parts.pipeline.stop()
        await self.parts.endpoints.stop()
        await self.parts.registration.stop()
        await self.parts.publisher.stop()
        self.parts.handover.close()
        self.parts.store.close()
        if self.parts.tracing is not None:
            await asyncio.to_thread(self.parts.tracing.stop)

    async def _offer(self, stream: faust.Stream) -> None:
        """The agent: hand every record batch to the intake. The pipeline acknowledges the batch later."""
        async for event in stream.noack().events():
            message = event.message
            if self.parts.schemas is not None:
                await self.parts.schemas.prepare(message.value)
            await self.parts.intake.offer(
                Delivery(
                    message.partition,
                    message.generation_id,
                    message.value,
                    ack=partial(message.ack, self.consumer),
                    is_current=partial(self._is_current, message.generation_id),
                )
            )

    def _is_current(self, generation_id: int) -> bool:
        return bool(generation_id == self.consumer_generation_id)

    async def _forget(self, _: Any, partitions: set[TP], **__: Any) -> None:
        """Forget users whenever their partitions may have changed hands."""
        await self.parts.residency.drop_partitions([tp.partition for tp in partitions])

    async def _watch(self) -> None:
        """Tell the watchdog, again and again, whether there is work and whether the worker makes progress."""
        metrics = self.parts.metrics
        while not self.should_stop:
            await asyncio.sleep(WATCH_S)
            try:
                consumer = self.consumer
                tps = [tp for tp in consumer.assignment() if tp not in consumer.held]
                async with asyncio.timeout(WATCH_S):
                    has_work = self.rebalancing or consumer.batches_in_flight > 0 or await consumer.has_unread(tps)
            except (TimeoutError, KafkaError, ConsumerNotStarted):
                has_work = True  # The worker cannot know, and the watchdog must not wait for an answer.
            marks = (metrics.batches_confirmed, metrics.rebuild_records, tuple(sorted(metrics.next_offset.items())))
            self.parts.watchdog.progress.observe(time.monotonic(), has_work, marks)


def _options(settings: Settings) -> dict[str, Any]:
    """The settings of the Faust application."""
    session_timeout_s = float(settings.session_timeout_s)
    return {
        "broker": [f"{transport.URL_SCHEME}://{address.strip()}" for address in settings.broker.split(",")],
        "broker_credentials": _credentials(settings),
        "store": "memory://",
        "web_enabled": False,
        "datadir": os.devnull,  # No table of ours is kept on disk: see `_create_directories`.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "consumer_auto_offset_reset": "earliest",
        "ConsumerScheduler": transport.BatchScheduler,
        "TableManager": NoTables,
        "stream_buffer_maxsize": QUEUED_BATCHES,
        "stream_wait_empty": True,  # A rebalance and a stop wait for the batches that were taken.
        "broker_max_poll_records": settings.batch_max_events,
        "consumer_max_fetch_size": FETCH_BYTES,
        "broker_commit_interval": COMMIT_INTERVAL_S,
        "broker_session_timeout": session_timeout_s,
        "broker_heartbeat_interval": min(HEARTBEAT_INTERVAL_S, session_timeout_s / 3),
        "broker_request_timeout": max(90.0, session_timeout_s + 1.0),
        "broker_rebalance_timeout": REBALANCE_TIMEOUT_S,
        "broker_max_poll_interval": POLL_INTERVAL_S,
        "consumer_metadata_max_age_ms": int(max(1.0, min(30.0, settings.partition_handover_s / 2)) * 1000),
        "table_standby_replicas": 1,  # With another value Faust uses an assignor without co-partitioning.
    }


def _credentials(settings: Settings) -> Any:
    """The login as Faust's transport takes it."""
    login = aiokafka_arguments(settings)
    context, mechanism = login["ssl_context"], login.get("sasl_mechanism")
    if mechanism is None:
        return None if context is None else faust.SSLCredentials(context)
    if "sasl_oauth_token_provider" in login:
        return OAuthCredentials(oauth_cb=login["sasl_oauth_token_provider"], ssl_context=context)
    return faust.SASLCredentials(
        username=login["sasl_plain_username"],
        password=login["sasl_plain_password"],
        ssl_context=context,
        mechanism=mechanism,
    )
