"""Everything that a monitor publishes."""

from collections.abc import Sequence

from streams.config.settings import Settings
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.outputs.alarm_publisher import AlarmPublisher
from streams.monitor.outputs.comparison_publisher import ComparisonPublisher
from streams.monitor.outputs.metrics_publisher import MetricsPublisher
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards


class Outputs:
    """Metrics events where there is a topic for them, and alarms and comparisons where they are wanted."""

    def __init__(self, settings: Settings, metrics_topic: str | None, alarms: bool, comparisons: bool = False) -> None:
        self._metrics = None if metrics_topic is None else MetricsPublisher(settings, metrics_topic)
        self._alarms = AlarmPublisher(settings, settings.alarms_topic, settings.alarms_webhook) if alarms else None
        self._comparisons = ComparisonPublisher(settings, settings.comparisons_topic) if comparisons else None

    async def start(self) -> None:
        """Connect, and read what is published already. Raises BrokerError."""
        if self._metrics is not None:
            await self._metrics.start()
        if self._alarms is not None:
            await self._alarms.start()
        if self._comparisons is not None:
            await self._comparisons.start()

    async def stop(self) -> None:
        if self._metrics is not None:
            await self._metrics.stop()
        if self._comparisons is not None:
            await self._comparisons.stop()
        if self._alarms is not None:
            await self._alarms.stop()

    async def publish(
        self, ended: Sequence[MetricsEvent], scoreboards: BundleScoreboards, now_ms: int | None = None
    ) -> None:
        """Publish the intervals that ended, the alarms that began or ended, and comparisons. Raises BrokerError.

        now_ms: the time, where every record is scored that the topics held at the start. The scoreboards have then
        seen every event from which an alarm in the topic follows. An alarm that fires in the topic alone ends. A
        comparison is published from then on, because one of fewer events would replace that of an earlier monitor.
        """
        alarms = scoreboards.take_alarms()
        if self._metrics is not None:
            await self._metrics.publish(ended)
        if self._alarms is not None:
            await self._alarms.publish(alarms)
            if now_ms is not None:
                await self._alarms.end_forgotten(scoreboards.alarm_states(), now_ms)
        if self._comparisons is not None and now_ms is not None:
            await self._comparisons.publish(scoreboards.pairs, now_ms)

    async def publish_last(self, scoreboards: BundleScoreboards, now_ms: int) -> None:
        """Publish the comparisons that have changed since they were published last. Raises BrokerError."""
        if self._comparisons is not None:
            await self._comparisons.publish(scoreboards.pairs, now_ms, at_once=True)
