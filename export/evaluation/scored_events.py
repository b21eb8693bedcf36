"""The events that an evaluation steps, and those that it scores: user by user, in order of time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.feature_extraction import event_features
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ScoredEvents:
    """The users of a log with all their n events, of which m are scored.

    A user's earlier history comes before the user's scored events.
    """

    user_ids: list[str]
    sequences: Sequences  # of the n events
    event_user: Indices  # (n,) position in user_ids, ascending
    event_time_ms: Indices  # (n,)
    target: Indices  # (m,) positions of the scored events among the n events, ascending
    row: Indices  # (m,) rows of the scored events in their log

    @classmethod
    def from_logs(cls, log: EventLog, vocabulary: Vocabulary, history: EventLog | None = None) -> "ScoredEvents":
        """Score every event of `log`. The events of `history` are stepped first and not scored.

        Raises InputError where an event of the history is later than a scored event of the same user.
        """
        parts = [log] if history is None else [history, log]
        user_ids = [log.user_ids[code] for code in np.unique(log.user).tolist()]
        position = {name: number for number, name in enumerate(user_ids)}
        codes = [np.array([position.get(name, -1) for name in part.user_ids], np.int64)[part.user] for part in parts]
        user = np.concatenate(codes)
        order = np.argsort(user, kind="stable")[int((user < 0).sum()) :]  # without users who have no scored event
        row = order - (len(user) - len(log))  # negative for events of the history
        user = user[order]
        time_ms = np.concatenate([part.time_ms for part in parts])[order]
        lengths = np.bincount(user, minlength=len(user_ids))
        features = [event_features(part, vocabulary) for part in parts]
        sequences = Sequences(
            starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            item=np.concatenate([vocabulary.item_index(part) for part in parts])[order],
            action=np.concatenate([vocabulary.action_index(part) for part in parts])[order],
            gap_ms=gaps_ms(user, time_ms),
            row=row,
            features={name: np.concatenate([part[name] for part in features])[order] for name in features[0]},
        )
        target = np.flatnonzero(row >= 0)
        first = target[(target > 0) & (row[target - 1] < 0)]  # the first scored event of a user with history
        first = first[user[first] == user[first - 1]]
        if (is_late := time_ms[first - 1] > time_ms[first]).any():
            at = int(first[is_late][0])
            raise InputError(
                f"the history of user {user_ids[user[at]]!r} reaches to {time_ms[at - 1]} ms, and the user's scored "
                f"events begin at {time_ms[at]} ms: give a history that ends before them"
            )
        return cls(user_ids, sequences, user, time_ms, target, row[target])

    @property
    def item(self) -> Indices:
        """(m,) index of each scored item, 0 for an item outside the catalogue."""
        return self.sequences.item[self.target]

    @property
    def action(self) -> Indices:
        """(m,) index of each scored event's action, 0 for an unknown action."""
        return self.sequences.action[self.target]

    @property
    def user(self) -> Indices:
        """(m,) user of each scored event, ascending."""
        return self.event_user[self.target]

    @property
    def time_ms(self) -> Indices:
        """(m,) time of each scored event."""
        return self.event_time_ms[self.target]

    @property
    def steps(self) -> Indices:
        """(m,) number of the user's events before each scored event."""
        return self.sequences.history_lengths()[self.target]

    @property
    def age_ms(self) -> Indices:
        """(m,) time since the user's previous event, -1 for a user's first event."""
        return self.sequences.gap_ms[self.target]


def gaps_ms(user: Indices, time_ms: Indices) -> Indices:
    """(n,) users, ascending, and (n,) times in the order of arrival -> (n,) the gaps that a worker would step.

    A gap is -1 for a user's first event. For other events it is the time since the user's latest event so far, or 0
    where the event arrives late.
    """
    if not len(user):
        return np.empty(0, np.int64)
    first_ms = int(time_ms.min())
    stride_ms = int(time_ms.max()) - first_ms + 1  # the keys of a user lie above the keys of all users before
    key = user * stride_ms + (time_ms - first_ms)
    latest = np.maximum.accumulate(key)
    gap = np.maximum(0, key - np.concatenate([key[:1], latest[:-1]]))
    is_first = np.concatenate([[True], user[1:] != user[:-1]])
    return np.where(is_first, -1, gap)
