"""The representations of many users in memory, and the exact search for the nearest ones by cosine. Pure.

The vectors lie in blocks of float32, so that the index grows without a copy. A search is one matrix product for each
block. One thread may change the index while others search: a search and a change exclude each other.
"""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.serve.scoring.directions import directions

BLOCK_USERS = 65_536
MOST_USERS = 2_000_000  # about 1 GB, and a tenth of a second of CPU a search: docs/benchmarks.md#questions-about-a-user


class Nearest(NamedTuple):
    """Users, the highest cosine first."""

    user_id: list[str]
    cosine: NDArray[np.float32]  # (n,)


class LookalikeIndex:
    """The users of one bundle."""

    def __init__(self, width: int, most_users: int = MOST_USERS) -> None:
        """width: the number W of the first components of a representation that the cosine compares."""
        self.width = width
        self.is_full = False  # whether a user was left out
        self._most_users = most_users
        self._row_of: dict[str, int] = {}
        self._user_of: list[str] = []
        self._reading = 0  # the number of the reading of the topic that goes on
        self._reading_of: list[int] = []  # the last reading that had the user, by row
        self._blocks: list[NDArray[np.float32]] = []  # (BLOCK_USERS, W) of length 1 each
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._user_of)

    def put(self, user_ids: Sequence[str], representations: NDArray[np.float32]) -> None:
        """Set the vectors of these users, of which the last one of a user counts.

        representations: (n, R) float32, with R at least W.
        """
        found = directions(representations[:, : self.width])
        with self._lock:
            for user_id, direction in zip(user_ids, found, strict=True):
                row = self._row_of.get(user_id)
                if row is None:
                    if len(self._user_of) >= self._most_users:
                        self.is_full = True
                        continue
                    row = self._add(user_id)
                self._reading_of[row] = self._reading
                self._blocks[row // BLOCK_USERS][row % BLOCK_USERS] = direction

    def remove(self, user_id: str) -> None:
        """Forget a user. The last row takes the place of the user's row."""
        with self._lock:
            self._remove(user_id)

    def begin_reading(self) -> None:
        """Note that the topic is read from its beginning, over the users that are there."""
        with self._lock:
            self._reading += 1

    def end_reading(self) -> None:
        """Forget the users whom this reading has not had.

        Compaction deletes the tombstone of an erased user after a time. A reader that was away for longer sees neither
        the user nor the tombstone.
        """
        with self._lock:
            pairs = zip(self._user_of, self._reading_of, strict=True)
            for user_id in [user_id for user_id, reading in pairs if reading != self._reading]:
                self._remove(user_id)

    def nearest(self, representations: Sequence[NDArray[np.float32]], count: int) -> list[Nearest]:
        """The `count` users with the highest cosine for each of B representations, (R,) float32 each."""
        query = directions(np.stack(representations)[:, : self.width])
        rows = [np.empty(0, np.int64) for _ in query]
        best = [np.empty(0, np.float32) for _ in query]
        with self._lock:
            for number, block in enumerate(self._blocks):
                filled = min(BLOCK_USERS, len(self._user_of) - number * BLOCK_USERS)
                if filled <= 0:
                    break
                cosine = query @ block[:filled].T
                for place, row in enumerate(cosine):
                    rows[place], best[place] = _merged(rows[place], best[place], row, number * BLOCK_USERS, count)
            return [Nearest([self._user_of[row] for row in r.tolist()], b) for r, b in zip(rows, best, strict=True)]

    def _remove(self, user_id: str) -> None:
        row = self._row_of.pop(user_id, None)
        if row is None:
            return
        last, last_user, last_reading = len(self._user_of) - 1, self._user_of.pop(), self._reading_of.pop()
        moved = self._blocks[last // BLOCK_USERS][last % BLOCK_USERS]
        if row != last:
            self._blocks[row // BLOCK_USERS][row % BLOCK_USERS] = moved
            self._user_of[row], self._row_of[last_user], self._reading_of[row] = last_user, row, last_reading
        moved[:] = 0

    def _add(self, user_id: str) -> int:
        row = len(self._user_of)
        if row == len(self._blocks) * BLOCK_USERS:
            self._blocks.append(np.zeros((BLOCK_USERS, self.width), np.float32))
        self._user_of.append(user_id)
        self._reading_of.append(self._reading)
        self._row_of[user_id] = row
        return row


def _merged(
    rows: NDArray[np.int64], best: NDArray[np.float32], cosine: NDArray[np.float32], first: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best rows so far and those of a block, highest first, at most `count`. first: the first row of the block."""
    least = best[-1] if len(best) == count else -np.inf
    if least == -np.inf and len(cosine) > count:
        least = np.partition(cosine, len(cosine) - count)[len(cosine) - count]
    found = np.flatnonzero(cosine >= least)
    rows, best = np.concatenate([rows, found + first]), np.concatenate([best, cosine[found]])
    order = np.argsort(-best, kind="stable")[:count]
    return rows[order], best[order]
