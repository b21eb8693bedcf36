"""Publishes alarm events: each change of an alarm once, also across restarts of the monitor."""

import time
from collections.abc import Iterable

from streams.config.settings import Settings
from streams.contracts.alarm_events import AlarmEvent
from streams.monitor.drift.alarm_log import AlarmLog
from streams.monitor.outputs.topic_output import TopicOutput, decoded
from streams.monitor.outputs.webhook import Webhook

RESOLVED_AGAIN_MS = 900_000  # a restarted monitor tells the webhook again which alarms ended in this time


class AlarmPublisher:
    """Publishes to one topic, keyed by bundle id, and tells the webhook where there is one."""

    def __init__(self, settings: Settings, topic: str, webhook_url: str | None) -> None:
        self._output = TopicOutput(settings, topic)
        self._log = AlarmLog()
        self._webhook = None if webhook_url is None else Webhook(webhook_url, self._log.firing)

    async def start(self) -> None:
        """Connect, and read which alarms the topic knows. Raises BrokerError."""
        for alarm in decoded(await self._output.start(), AlarmEvent):
            self._log.note(alarm)
        if self._webhook is not None:
            self._webhook.start(self._log.resolved_since(int(time.time() * 1000) - RESOLVED_AGAIN_MS))

    async def stop(self) -> None:
        if self._webhook is not None:
            await self._webhook.stop()
        await self._output.stop()

    async def publish(self, alarms: Iterable[AlarmEvent]) -> None:
        """Send the alarm events that are new, and wait for the broker's confirmations. Raises BrokerError."""
        for alarm in alarms:
            event = self._log.new(alarm)
            if event is not None:
                await self._output.send(event.bundle_id, event)
                self._log.note(event)
                if self._webhook is not None:
                    self._webhook.tell(event)

    async def end_forgotten(self, states: dict[str, dict[str, bool]], time_ms: int) -> None:
        """End the alarms that fire in the topic alone. states: bundle -> "name/slice" -> whether its alarm fires."""
        await self.publish(self._log.forgotten(states, time_ms))
