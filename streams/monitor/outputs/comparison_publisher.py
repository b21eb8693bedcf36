"""Publishes how pairs of bundles compare. The topic is compacted, so the last record of a pair counts."""

import time

import msgspec

from streams.config.settings import Settings
from streams.contracts.comparisons import BundleComparison, comparison_key
from streams.monitor.outputs.topic_output import TopicOutput
from streams.monitor.pairs.all_pairs import AllPairs

PUBLISH_EVERY_S = 10.0


class ComparisonPublisher:
    """Publishes to one topic, keyed by the pair: at most every PUBLISH_EVERY_S, and only what has changed."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._output = TopicOutput(settings, topic)
        self._published: dict[str, BundleComparison] = {}  # key -> the last record of this monitor, without its time
        self._next_s = 0.0

    async def start(self) -> None:
        """Connect. Raises BrokerError."""
        await self._output.connect()

    async def stop(self) -> None:
        await self._output.stop()

    async def publish(self, pairs: AllPairs, now_ms: int, at_once: bool = False) -> None:
        """Send what has changed when that is due, or at once, and wait for the confirmations. Raises BrokerError."""
        if not at_once and time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + PUBLISH_EVERY_S
        for comparison in pairs.reports(now_ms):
            key = comparison_key(comparison.champion, comparison.challenger)
            timeless = msgspec.structs.replace(comparison, published_at_ms=0)
            if self._published.get(key) != timeless:
                await self._output.send(key, comparison)
                self._published[key] = timeless
