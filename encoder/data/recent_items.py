"""The last distinct items of a user before each event, for all events at once. This module needs no torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLACES = 10  # distinct items that are remembered
EMPTY = -1
FIELDS = ("item", "action", "age_s", "count", "score")  # of a recent item in a state, see encoder.model.recent_items


@dataclass(frozen=True)
class RecentItems:
    """The last K = PLACES distinct known items of users, the newest first. All arrays are (..., K)."""

    item: NDArray[np.int64]  # 0 is an empty place
    action: NDArray[np.int64]  # of the item's last event
    age_s: NDArray[np.float32]  # from the item's last event to the user's last event
    count: NDArray[np.float32]  # the item's events since the item has its place


@dataclass(frozen=True)
class RecentPositions:
    """Where the last distinct items after each of the n events of `encoder.data.sequences.Sequences` stand."""

    # (n, K) how many events before each event each item's last event stands, or the largest number of the type where
    # there is none. uint16 unless a user has more events, because long logs have many places.
    events_ago: NDArray[np.uint16] | NDArray[np.uint32]
    count: NDArray[np.int32]  # (n,) events of the event's item since the item has its place, this event included
    time_ms: NDArray[np.int64]  # (n,) of the events, from an origin that may differ between users
    item: NDArray[Any]  # (n,) of the events; the next two as well
    action: NDArray[Any]
    gap_ms: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        starts: NDArray[np.int64],
        item: NDArray[Any],
        action: NDArray[Any],
        gap_ms: NDArray[np.int64],
        time_ms: NDArray[np.int64],
    ) -> "RecentPositions":
        """The arrays are those of `Sequences`. All users advance together, by one event at a time."""
        n, lengths = len(item), np.diff(starts)
        kind = np.uint16 if lengths.max(initial=0) < np.iinfo(np.uint16).max else np.uint32
        events_ago = np.full((n, PLACES), np.iinfo(kind).max, kind)
        count = np.ones(n, np.int32)
        users = np.argsort(-lengths, kind="stable")
        first, longest_first = starts[:-1][users], lengths[users]
        places = np.full((len(users), PLACES), EMPTY, np.int32)  # of each user
        for step in range(int(lengths.max(initial=0))):
            active = int(np.searchsorted(-longest_first, -step))  # users with more than `step` events
            event, before = first[:active] + step, places[:active]
            is_known = (item[event] > 0)[:, None]
            is_item = (before != EMPTY) & (item[before] == item[event][:, None]) & is_known
            row, place = np.nonzero(is_item)
            count[event[row]] += count[before[row, place]]
            # A place takes over the place before it, up to the item's own former place.
            moves = is_known & (np.cumsum(is_item, axis=1) - is_item == 0)
            shifted = np.concatenate([event[:, None].astype(np.int32), before[:, :-1]], axis=1)
            places[:active] = np.where(moves, shifted, before)
            filled = places[:active] != EMPTY
            events_ago[event] = np.where(filled, event[:, None] - places[:active], np.iinfo(kind).max)
        return cls(events_ago, count, time_ms, item, action, gap_ms)

    def before(self, position: NDArray[np.int64]) -> RecentItems:
        """The items before the events at these positions (...). A user's first event and a position of -1 have none."""
        last = np.maximum(position - 1, 0)
        has_history = (position >= 0) & (self.gap_ms[position] >= 0)
        ago = self.events_ago[last]
        is_filled = has_history[..., None] & (ago != np.iinfo(ago.dtype).max)
        places = np.where(is_filled, last[..., None] - ago.astype(np.int64), EMPTY)
        age_ms = self.time_ms[last][..., None] - self.time_ms[places]
        return RecentItems(
            item=np.where(is_filled, self.item[places], 0).astype(np.int64),
            action=np.where(is_filled, self.action[places], 0).astype(np.int64),
            age_s=np.where(is_filled, age_ms / 1000, 0).astype(np.float32),
            count=np.where(is_filled, self.count[places], 0).astype(np.float32),
        )
