"""Publishes MetricsEvents: each interval once, also across restarts of the monitor."""

from collections.abc import Sequence

from streams.config.settings import Settings
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.outputs.topic_output import TopicOutput, decoded


class MetricsPublisher:
    """Publishes to one topic, keyed by bundle id. An event whose id is already in the topic is not published again."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._output = TopicOutput(settings, topic)
        self._published_ids: set[str] = set()

    async def start(self) -> None:
        """Connect and read the ids in the topic. Raises BrokerError."""
        self._published_ids = {event.id for event in decoded(await self._output.start(), MetricsEvent)}

    async def stop(self) -> None:
        await self._output.stop()

    async def publish(self, events: Sequence[MetricsEvent]) -> None:
        """Send the events and wait for the broker's confirmations. Raises BrokerError."""
        for event in events:
            if event.id not in self._published_ids:
                await self._output.send(event.bundle_id, event)
                self._published_ids.add(event.id)
