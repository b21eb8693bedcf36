"""An event log as one sequence per user. Free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.features import Features, event_features
from encoder.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Sequences:
    """Users' events one user after another, each user's in the order of the log.

    User u has the positions starts[u] to starts[u + 1]. item, action: (n,) int64, 0 unknown. gap_ms: (n,) int64, time
    since the user's event before, -1 for a first event. row: (n,) the event's row in the log. features: (n,) of each
    event, by name. open_ms: (n,) int64, time from a user's last event to the end of the log, in which nothing followed,
    -1 for other events; None: not known.
    """

    starts: NDArray[np.int64]  # (users + 1,)
    item: NDArray[np.int64]
    action: NDArray[np.int64]
    gap_ms: NDArray[np.int64]
    row: NDArray[np.int64]
    features: Features
    open_ms: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, log: EventLog, vocabulary: Vocabulary) -> "Sequences":
        """The sequences of a log, without the users of `log.user_ids` that have no event in it."""
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
            open_ms=np.where(last, log.time_ms.max(initial=0) - log.time_ms[row], -1),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(users,) number of events."""
        return np.diff(self.starts)

    def previous_item(self) -> NDArray[np.int64]:
        """(n,) index of the item before each event, 0 where it is unknown, -1 for a first event."""
        previous = np.roll(self.item, 1)
        previous[self.starts[:-1]] = -1
        return previous

    def steps(self) -> NDArray[np.int64]:
        """(n,) number of the user's events before each event."""
        return np.arange(len(self.item)) - np.repeat(self.starts[:-1], self.lengths)


@dataclass(frozen=True)
class Window:
    """Consecutive events of several users, padded to (B, T) with index 0.

    A user of more than T events comes in several windows: the state is carried on from the row that `before` names.
    """

    item: NDArray[np.int64]
    action: NDArray[np.int64]
    gap_ms: NDArray[np.int64]
    open_ms: NDArray[np.int64]  # (B, T), -1 for padding
    position: NDArray[np.int64]  # (B, T) of the event in the sequences, -1 for padding
    before: NDArray[np.int64]  # (B,) row of the same user in the window before this one, -1: the user starts here
    features: Features  # (B, T) of each event, by name; those of some event where it is padding

    @property
    def is_first(self) -> bool:
        """Whether all these users start here."""
        return bool((self.before < 0).all())


def window(
    sequences: Sequences, starts: NDArray[np.int64], lengths: NDArray[np.int64], before: NDArray[np.int64]
) -> Window:
    """(B,) first positions, (B,) numbers of events from there, (B,) rows before -> the window of these events."""
    offset = np.arange(int(lengths.max()))
    real = offset < lengths[:, None]
    position = np.where(real, starts[:, None] + offset, -1)
    return Window(
        item=np.where(real, sequences.item[position], 0),
        action=np.where(real, sequences.action[position], 0),
        gap_ms=np.where(real, sequences.gap_ms[position], 0),
        open_ms=np.where(real, -1 if sequences.open_ms is None else sequences.open_ms[position], -1),
        position=position,
        before=before,
        features={name: values[position] for name, values in sequences.features.items()},
    )


def windows(sequences: Sequences, users: NDArray[np.int64], steps: int) -> Iterator[Window]:
    """The users' events in windows of at most `steps` events, the longest users first, so that user b of a window is
    user b of the one before it. users: (B,) indices of sequences, in any order."""
    users = users[np.argsort(-sequences.lengths[users], kind="stable")]
    lengths = sequences.lengths[users]
    starts = sequences.starts[users]
    for begin in range(0, int(lengths[0]), steps):
        active = int((lengths > begin).sum())
        before = np.arange(active) if begin else np.full(active, -1)
        yield window(sequences, starts[:active] + begin, np.minimum(lengths[:active] - begin, steps), before)


def batches(lengths: NDArray[np.int64], events: int, steps: int) -> list[NDArray[np.int64]]:
    """Users of similar length together, so that a batch's first window has about `events` places, few of them padding.

    lengths: (users,). Returns the users of each batch, in ascending order of length.
    """
    order = np.argsort(lengths, kind="stable")
    parts, begin = [], 0
    while begin < len(order):
        # The batch's longest user decides its width: grow the batch while its windows stay within the places.
        width = np.minimum(lengths[order[begin : begin + events]], steps)
        fits = width * np.arange(1, len(width) + 1) <= events
        size = max(1, int(fits.sum()))
        parts.append(order[begin : begin + size])
        begin += size
    return parts
