"""An event log as one sequence of events for each user. This module does not need torch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import event_features
from encoder.data.features import Features
from encoder.data.recent_items import RecentPositions
from encoder.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Sequences:
    """The n events of a log, one user after another, and each user's events in the order of the log.

    The events of user u have the positions starts[u] to starts[u + 1] - 1.
    """

    starts: NDArray[np.int64]  # (users + 1,)
    item: NDArray[np.int64]  # (n,) index in the vocabulary, 0 is unknown
    action: NDArray[np.int64]  # (n,) index in the vocabulary, 0 is unknown
    gap_ms: NDArray[np.int64]  # (n,) time since the user's previous event, -1 for a first event
    row: NDArray[np.int64]  # (n,) row in the log
    features: Features  # feature name -> (n,)
    # (n,) time from a user's last event to the end of the log, -1 for other events. The gap after the last event is
    # censored: it is longer than this time. None: not known.
    censored_gap_ms: NDArray[np.int64] | None = None

    @classmethod
    def from_log(cls, log: EventLog, vocabulary: Vocabulary) -> "Sequences":
        """The sequences of a log. Users of `log.user_ids` without an event in the log have no sequence."""
        row = np.argsort(log.user, kind="stable").astype(np.int64)
        user = log.user[row]
        first = np.ones(len(user), bool)
        first[1:] = user[1:] != user[:-1]
        starts = np.flatnonzero(first)
        last = np.roll(first, -1)
        gap_ms = np.where(first, -1, np.diff(log.time_ms[row], prepend=0))  # never negative: a log is sorted by time
        return cls(
            starts=np.append(starts, len(user)).astype(np.int64),
            item=vocabulary.item_index(log)[row],
            action=vocabulary.action_index(log)[row],
            gap_ms=gap_ms,
            row=row,
            features={name: values[row] for name, values in event_features(log, vocabulary).items()},
            censored_gap_ms=np.where(last, log.time_ms.max(initial=0) - log.time_ms[row], -1),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(users,) number of events of each user."""
        return np.diff(self.starts)

    @cached_property
    def recent_positions(self) -> RecentPositions:
        """Where the last distinct items after each event stand."""
        return RecentPositions.of(self.starts, self.item, self.action, self.gap_ms)

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
