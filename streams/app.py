"""The Faust application of a worker: settings, the batch transport, the agent, and what starts and stops with it."""

import getpass
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import TRANSPORTS
from faust.types import TP

from export.bundle import Bundle
from streams import transport
from streams.agents import Pipeline, follow
from streams.http import Endpoints
from streams.measures import Measures
from streams.names import group
from streams.publisher import Publisher
from streams.security import SCRAM, tls_context
from streams.settings import Settings
from streams.store import Store

TRANSPORT = "thalweg"
# A commit makes a restart replay less; it costs one request to the broker. Replays are recognised, so once a second is
# plenty.
COMMIT_INTERVAL_S = 1.0
# Batches that wait between the fetcher and the agent, for each partition: enough to never starve it.
QUEUED_BATCHES = 2
# A rebalance waits for batches in flight, and those wait for Kafka (30 s) and Cassandra; above it the group goes on.
REBALANCE_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 1000.0  # far above the slowest batch: a slow batch must not cost the partition


class App(faust.App):  # type: ignore[misc]
    """A Faust application that starts the outputs before the consumer and stops them after the last batch."""

    outputs: Callable[[], Awaitable[None]]
    outputs_stop: Callable[[], Awaitable[None]]

    async def on_start(self) -> None:
        await super().on_start()
        await self.outputs()

    async def on_stop(self) -> None:
        await super().on_stop()  # waits for batches in flight and commits them
        await self.outputs_stop()


def build(
    settings: Settings, bundle: Bundle, pipeline: Pipeline, store: Store, publisher: Publisher, measures: Measures
) -> App:
    """The application, not started. One a process: Faust keeps its transports in a global registry."""
    TRANSPORTS.aliases[TRANSPORT] = "streams.transport:BatchTransport"
    transport.BATCH_TOPICS.add(settings.behavior_topic)
    app = App(
        group(settings, bundle),
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
        table_standby_replicas=1,  # keeps Faust's co-partitioning assignor
    )
    topic = app.topic(
        settings.behavior_topic, schema=transport.BatchSchema(key_type=bytes, value_type=bytes), maxsize=QUEUED_BATCHES
    )
    follow(app, topic, pipeline)
    measures.lag.read = _lag(app, settings.behavior_topic, measures)
    endpoints = Endpoints(settings.http_host, settings.http_port, measures.registry, lambda: _is_ready(app))

    async def start() -> None:
        await publisher.start()
        print(f"thalweg worker: metrics at {await endpoints.start()}/metrics", flush=True)

    async def stop() -> None:
        await endpoints.stop()
        await publisher.stop()
        store.close()

    app.outputs, app.outputs_stop = start, stop
    return app


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
        for tp in consumer.assignment():
            end = consumer.highwater(tp)
            if tp.topic == topic and end is not None:
                start = measures.next_offset.get(tp.partition, consumer._committed_offset[TP(*tp)] or 0)
                lags[tp.partition] = max(0, end - start)
        return lags

    return read


def _is_ready(app: faust.App) -> bool:
    return not app.rebalancing and bool(app.consumer.assignment())
