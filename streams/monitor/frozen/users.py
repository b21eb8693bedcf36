"""Representations of users as they were some time before each event. Pure: no I/O, no clock.

Times are event times, so a replayed log gives the same comparison as the live topic.
"""

from collections import OrderedDict, deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Query = NDArray[np.float32]  # (Q,) as of `Bundle.queries`


class Lag(NamedTuple):
    """How old a frozen representation is: at least `age_ms`, and up to `step_ms` more."""

    name: str
    age_ms: int
    step_ms: int


LAGS = (Lag("frozen_1h", 3_600_000, 600_000), Lag("frozen_1d", 86_400_000, 3_600_000))
# A user who comes back seldom takes about 1 KB, a user who is active in every hour up to 20 KB.
MAX_USERS = 200_000


class _User:
    """The queries of one user. Each lag has the newest query of each of its steps, the oldest first."""

    __slots__ = ("born_ms", "history", "live")

    def __init__(self) -> None:
        self.born_ms: int | None = None  # event time of the first event; None where this monitor did not see the event
        self.live: Query | None = None
        self.history: tuple[deque[tuple[int, Query]], ...] = tuple(deque() for _ in LAGS)


class FrozenUsers:
    """The present and earlier queries of the users who had updates last, MAX_USERS at most."""

    def __init__(self, prior: Query, max_users: int = MAX_USERS) -> None:
        """prior: the query of a user without history."""
        self._prior = prior
        self._max_users = max_users
        self._users: OrderedDict[str, _User] = OrderedDict()

    def update(self, user_id: str, time_ms: int, query: Query) -> None:
        """Keep the query of a user after the user's event at `time_ms`."""
        user = self._user(user_id)
        user.live = query
        for lag, history in zip(LAGS, user.history, strict=True):
            if history and history[-1][0] // lag.step_ms == time_ms // lag.step_ms:
                history.pop()
            history.append((time_ms, query))
            _drop_older(history, time_ms - lag.age_ms)

    def begin(self, user_id: str, time_ms: int) -> None:
        """Note that the user's first event was at `time_ms`."""
        self._user(user_id).born_ms = time_ms

    def forget(self, user_id: str) -> None:
        """Drop everything about a user who was erased."""
        self._users.pop(user_id, None)

    def live(self, user_id: str) -> Query | None:
        """The user's present query."""
        user = self._users.get(user_id)
        return None if user is None else user.live

    def frozen(self, user_id: str, time_ms: int) -> list[Query | None]:
        """For each lag, the user's query as it was that long before `time_ms`.

        A user whose first event came later has the prior then. None where the query of that time is not known.
        """
        user = self._users.get(user_id)
        if user is None:
            return [None] * len(LAGS)
        found: list[Query | None] = []
        for lag, history in zip(LAGS, user.history, strict=True):
            then_ms = time_ms - lag.age_ms
            _drop_older(history, then_ms)
            if history and history[0][0] <= then_ms:
                found.append(history[0][1])
            else:
                # The first queries of a new user may have given way to a later one of the same step.
                is_new = user.born_ms is not None and user.born_ms > then_ms - lag.step_ms
                found.append(self._prior if is_new else None)
        return found

    def _user(self, user_id: str) -> _User:
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = _User()
            if len(self._users) > self._max_users:
                self._users.popitem(last=False)
        else:
            self._users.move_to_end(user_id)
        return user


def _drop_older(history: deque[tuple[int, Query]], then_ms: int) -> None:
    """Drop what is older than the newest query of `then_ms` or before."""
    while len(history) > 1 and history[1][0] <= then_ms:
        history.popleft()
