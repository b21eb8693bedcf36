"""Everything that a monitor publishes."""

from collections.abc import Sequence

from streams.config.settings import Settings
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.outputs.alarm_publisher import AlarmPublisher
from streams.monitor.outputs.metrics_publisher import MetricsPublisher
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards


class Outputs:
    """Metrics events where there is a topic for them, and alarms where they are wanted."""

    def __init__(self, settings: Settings, metrics_topic: str | None, alarms: bool) -> None:
        self._metrics = None if metrics_topic is None else MetricsPublisher(settings, metrics_topic)
        self._alarms = AlarmPublisher(settings, settings.alarms_topic, settings.alarms_webhook) if alarms else None

    async def start(self) -> None:
        """Connect, and read what is published already. Raises BrokerError."""
        if self._metrics is not None:
            await self._metrics.start()
        if self._alarms is not None:
            await self._alarms.start()

    async def stop(self) -> None:
        if self._metrics is not None:
            await self._metrics.stop()
        if self._alarms is not None:
            await self._alarms.stop()

    async def publish(
        self, ended: Sequence[MetricsEvent], scoreboards: BundleScoreboards, now_ms: int | None = None
    ) -> None:
        """Publish the intervals that ended and the alarms that began or ended. Raises BrokerError.

        now_ms: the time, where every record is scored that the topics held at the start. The scoreboards have then
        seen every event from which an alarm in the topic follows. An alarm that fires in the topic alone ends.
        """
        alarms = scoreboards.take_alarms()
        if self._metrics is not None:
            await self._metrics.publish(ended)
        if self._alarms is not None:
            await self._alarms.publish(alarms)
            if now_ms is not None:
                await self._alarms.end_forgotten(scoreboards.alarm_states(), now_ms)
