"""What an evaluation steps over and what it scores: users' events in order of time, earlier history first."""

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
    """The users of a log with all their events, n in all, of which m are scored.

    sequences: n events of the users, history before scored events. user, time_ms: (n,) int64, position in `user_ids`
    and event time. target: (m,) int64, ascending positions of the scored events. row: (m,) int64, their rows in it.
    """

    user_ids: list[str]
    sequences: Sequences
    user: Indices
    time_ms: Indices
    target: Indices
    row: Indices

    @classmethod
    def of(cls, log: EventLog, vocabulary: Vocabulary, history: EventLog | None = None) -> "ScoredEvents":
        """Score every event of `log`. Events of `history`, which must all be earlier, are stepped first and not scored.

        Raises InputError where a history event is not earlier than the log's first.
        """
        parts = [log] if history is None else [history, log]
        if history is not None and len(history) and history.time_ms[-1] >= log.time_ms[0]:
            raise InputError(
                f"history reaches to {history.time_ms[-1]} ms, scored events begin at {log.time_ms[0]} ms: "
                "give a history that ends before them"
            )
        user_ids = [log.user_ids[code] for code in np.unique(log.user).tolist()]
        position = {name: number for number, name in enumerate(user_ids)}
        codes = [np.array([position.get(name, -1) for name in part.user_ids], np.int64)[part.user] for part in parts]
        user = np.concatenate(codes)
        order = np.argsort(user, kind="stable")[int((user < 0).sum()) :]  # users without a scored event do not matter
        row = order - (len(user) - len(log))  # negative in the history
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
        return cls(user_ids, sequences, user, time_ms, target, row[target])

    @property
    def item(self) -> Indices:
        """(m,) index of each scored item, 0 for one outside the catalogue."""
        return self.sequences.item[self.target]

    @property
    def users(self) -> Indices:
        """(m,) user of each scored event, ascending."""
        return self.user[self.target]

    @property
    def steps(self) -> Indices:
        """(m,) number of the user's events before each scored event."""
        return self.sequences.history_lengths()[self.target]

    @property
    def age_ms(self) -> Indices:
        """(m,) time since the user's event before, -1 without one."""
        return self.sequences.gap_ms[self.target]


def gaps_ms(user: Indices, time_ms: Indices) -> Indices:
    """(n,) users, grouped and ascending, and times in the order of arrival -> (n,) the gaps that a worker would step.

    -1 for a user's first event; else the time since the latest event so far, 0 for one that arrives late.
    """
    if not len(user):
        return np.empty(0, np.int64)
    first_ms = int(time_ms.min())
    stride = int(time_ms.max()) - first_ms + 1  # one user after another: a later user's keys lie above all earlier ones
    key = user * stride + (time_ms - first_ms)
    latest = np.maximum.accumulate(key)
    gap = np.maximum(0, key - np.concatenate([key[:1], latest[:-1]]))
    is_first = np.concatenate([[True], user[1:] != user[:-1]])
    return np.where(is_first, -1, gap)
