"""Which events of a log and of a topic are the same event. Pure.

An event of a log is known by its user and its event id. An event without an id is known by its user, item, action and
time. Both are 128-bit hashes, so two of a billion events are taken for the same one with a probability of 1e-21.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from encoder.data.event_ids import UNNAMED
from encoder.data.events import BehaviorEvent

IDENTITY = "S16"
Identities = NDArray[np.bytes_]  # (n,) IDENTITY

_SEPARATOR = "\0"


def identities_by_id(events: Iterable[BehaviorEvent]) -> Identities:
    """(n,) by user and event id."""
    return _hashes(_text(one.user_id, one.event_id) for one in events)


def identities_by_content(events: Iterable[BehaviorEvent]) -> Identities:
    """(n,) by user, item, action and time."""
    return _hashes(_text(one.user_id, one.item_id, one.action, str(one.event_time_ms)) for one in events)


def has_id(event: BehaviorEvent) -> bool:
    """Whether the log names the event."""
    return event.event_id != UNNAMED


def _text(*parts: str) -> str:
    """Different parts give different texts, also where they hold the separator."""
    return _SEPARATOR.join([",".join(str(len(part)) for part in parts), *parts])


def _hashes(texts: Iterable[str]) -> Identities:
    return np.array([xxh3_128_digest(text.encode()) for text in texts], IDENTITY)
