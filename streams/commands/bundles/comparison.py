"""Reads the latest comparison of two bundles that a monitor has published."""

import asyncio

import msgspec

from streams.broker.topic_reader import read_topic
from streams.broker.topics import topic_exists
from streams.config.settings import Settings
from streams.contracts.comparisons import BundleComparison, comparison_key


def latest_comparison(settings: Settings, champion: str, challenger: str) -> BundleComparison | None:
    """The last comparison of this pair; None where no monitor has published one. Blocks. Raises BrokerError.

    None also where this version cannot read the last one: an older one would not say how the bundles compare now.
    """
    if not topic_exists(settings, settings.comparisons_topic):
        return None
    return asyncio.run(_last(settings, comparison_key(champion, challenger).encode()))


async def _last(settings: Settings, key: bytes) -> BundleComparison | None:
    last = None
    async for records in read_topic(settings, settings.comparisons_topic):
        for record in records:
            if record.key == key and record.value is not None:
                try:
                    last = msgspec.json.decode(record.value, type=BundleComparison)
                except msgspec.MsgspecError:
                    last = None
    return last
