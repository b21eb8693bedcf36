"""An event log as one sequence of events for each user. This module does not need torch."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import event_features
from encoder.data.features import BRAND, CATEGORY, TIME, Features
from encoder.data.recent_items import RecentPositions
from encoder.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Sequences:
    """The n events of a log, one user after another, and each user's events in the order of the log.

    The events of user u have the positions starts[u] to starts[u + 1] - 1. `from_log` uses int32 where int32 suffices,
    because a log has many events.
    """

    starts: NDArray[np.int64]  # (users + 1,)
    item: NDArray[Any]  # (n,) int32 or int64 index in the vocabulary, 0 is unknown
    action: NDArray[Any]  # (n,) int32 or int64 index in the vocabulary, 0 is unknown
    gap_ms: NDArray[np.int64]  # (n,) time since the user's previous event, -1 for a first event
    row: NDArray[Any]  # (n,) int32 or int64 row in the log; empty after `without_rows`
    features: Features  # feature name -> (n,)
    end_ms: int | None = None  # time of the last event of the log; None: not known

    @classmethod
    def from_log(cls, log: EventLog, vocabulary: Vocabulary) -> "Sequences":
        """The sequences of a log. Users of `log.user_ids` without an event in the log have no sequence."""
        row: NDArray[Any] = np.argsort(log.user, kind="stable")
        if len(row) <= np.iinfo(np.int32).max:
            row = _as_int32(row)
        user = log.user[row]
        first = np.ones(len(user), bool)
        first[1:] = user[1:] != user[:-1]
        starts = np.flatnonzero(first)
        features: Features = {}
        for name, values in event_features(log, vocabulary).items():
            features[name] = _as_int32(values[row]) if name in (CATEGORY, BRAND) else values[row]
        gap_ms = np.diff(features[TIME], prepend=0)  # never negative: a log is sorted by time
        gap_ms[first] = -1
        return cls(
            starts=np.append(starts, len(user)).astype(np.int64),
            item=_as_int32(vocabulary.item_index(log)[row]),
            action=_as_int32(vocabulary.action_index(log)[row]),
            gap_ms=gap_ms,
            row=row,
            features=features,
            end_ms=int(log.time_ms.max(initial=0)),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def without_rows(self) -> "Sequences":
        """The same sequences without `row`, which takes 4 bytes for each event of a long log."""
        return replace(self, row=np.empty(0, np.int32))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(users,) number of events of each user."""
        return np.diff(self.starts)

    @cached_property
    def recent_positions(self) -> RecentPositions:
        """Where the last distinct items after each event stand."""
        return RecentPositions.of(self.starts, self.item, self.action, self.gap_ms, self._time_ms)

    @property
    def _time_ms(self) -> NDArray[np.int64]:
        """(n,) time of each event, from an origin that may differ between users."""
        if TIME in self.features:
            return self.features[TIME].astype(np.int64, copy=False)
        return np.maximum(self.gap_ms, 0).cumsum()

    def censored_gap_ms(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        """The time from a user's last event to the end of the log, -1 for other events and where the end is not known.

        The gap after the last event is censored: the gap is longer than this time. position: (...) of events, -1 for
        padding. Returns the shape of `position`.
        """
        if self.end_ms is None:
            return np.full(position.shape, -1)
        following = np.minimum(position + 1, len(self.item) - 1)
        is_last = (position == len(self.item) - 1) | (self.gap_ms[following] < 0)
        return np.where(is_last & (position >= 0), self.end_ms - self._time_ms[position], -1)

    @cached_property
    def is_new_item(self) -> NDArray[np.bool_]:
        """(n,) whether no earlier event of the user has the event's item. Events of unknown items are never new."""
        user = np.repeat(np.arange(len(self)), self.lengths)
        order = np.lexsort((self.item, user))  # the sort is stable, so events of one item keep their order
        by_item, by_user = self.item[order], user[order]
        is_new = np.zeros(len(order), bool)
        is_new[order[:1]] = True
        is_new[order[1:]] = (by_item[1:] != by_item[:-1]) | (by_user[1:] != by_user[:-1])
        return is_new & (self.item > 0)

    def earlier_items(self, position: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The distinct known items of the user before each of m events, without the event's own item.

        position: (m,) of the events. Returns (p,) which of the m events each of the p items belongs to, ascending, and
        (p,) the items.
        """
        new, user = self._new_item_positions, np.searchsorted(self.starts, position, side="right") - 1
        begin = np.searchsorted(new, self.starts[user])
        count = np.searchsorted(new, position) - begin
        event = np.repeat(np.arange(len(position)), count)
        nth = np.arange(len(event)) - np.repeat(np.cumsum(count) - count, count)
        item = self.item[new[begin[event] + nth]]
        is_other = item != self.item[position][event]
        return event[is_other], item[is_other]

    @cached_property
    def _new_item_positions(self) -> NDArray[np.int64]:
        """(k,) positions of the k events with a new item, ascending."""
        return np.flatnonzero(self.is_new_item)

    def previous_item(self) -> NDArray[np.int64]:
        """(n,) index of the user's item before each event. 0 is an unknown item, and a first event has -1."""
        previous = np.roll(self.item, 1)
        previous[self.starts[:-1]] = -1
        return previous

    def history_lengths(self) -> NDArray[np.int64]:
        """(n,) number of the user's events before each event."""
        return np.arange(len(self.item)) - np.repeat(self.starts[:-1], self.lengths)


def _as_int32(values: NDArray[Any]) -> NDArray[np.int32]:
    return values.astype(np.int32)
