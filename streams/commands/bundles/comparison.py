"""Reads the latest comparison of two bundles that a monitor has published."""

import asyncio
from collections.abc import Mapping

import msgspec

from streams.broker.topic_reader import read_topic
from streams.broker.topics import topic_exists
from streams.config.settings import Settings
from streams.contracts.comparisons import BundleComparison, comparison_key


def latest_comparison(settings: Settings, champion: str, challenger: str) -> BundleComparison | None:
    """The last comparison of this pair; None where no monitor has published one. Blocks. Raises BrokerError.

    A monitor takes the bundle that was seen first for the champion, so the pair may stand the other way round and is
    then reversed. Of both ways, the one with the later event counts. A record that this version cannot read stands for
    none: an older one would not say how the bundles compare now.
    """
    if not topic_exists(settings, settings.comparisons_topic):
        return None
    return later_way(asyncio.run(_last_values(settings)), champion, challenger)


def later_way(values: Mapping[bytes, bytes], champion: str, challenger: str) -> BundleComparison | None:
    """The comparison of this pair with the later event, with this champion. values: the last one of each key."""
    straight = _read(values.get(comparison_key(champion, challenger).encode()))
    other = _read(values.get(comparison_key(challenger, champion).encode()))
    ways = [way for way in (straight, None if other is None else other.reversed_sides()) if way is not None]
    return max(ways, key=lambda way: (way.last_scored_at_ms or 0, way.published_at_ms), default=None)


async def _last_values(settings: Settings) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    async for records in read_topic(settings, settings.comparisons_topic):
        found |= {record.key: record.value for record in records if record.key and record.value is not None}
    return found


def _read(value: bytes | None) -> BundleComparison | None:
    try:
        return None if value is None else msgspec.json.decode(value, type=BundleComparison)
    except msgspec.MsgspecError:
        return None
