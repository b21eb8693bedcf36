"""Session-parallel batches (Hidasi et al. 2016): each lane walks through one user after another.

This module does not need torch.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encoder.data.batches.windows import Window, make_window
from encoder.data.sequences import Sequences


def lanes(sequences: Sequences, users: NDArray[np.int64], lane_count: int, max_steps: int) -> Iterator[Window]:
    """Yield the users' events in windows of `lane_count` lanes with at most `max_steps` events each.

    users: (B,) indices in the order in which the lanes take the users. When a lane has finished a user, the lane takes
    the next waiting user. Each row of a window belongs to one user, because a cell runs over whole rows. A lane can
    therefore fill several rows of a window.

    Only a user with more than `max_steps` events has rows in several windows. Such a row starts where the lane's
    window starts, and a row that continues in the next window is full. The state after the window is therefore the
    state after the row's last event.
    """
    waiting = iter(zip(sequences.starts[users].tolist(), sequences.starts[users + 1].tolist(), strict=True))
    no_user = (0, 0)
    current = [(*next(waiting, no_user), -1) for _ in range(lane_count)]  # (first position, end, previous row)
    while any(begin < end for begin, end, _ in current):
        rows: list[tuple[int, int, int]] = []  # (first position, number of events, previous row)
        for lane in range(lane_count):
            room = max_steps
            while current[lane][0] < current[lane][1]:
                begin, end, previous_row = current[lane]
                size = min(end - begin, max_steps)
                if room < size:
                    break
                room -= size
                rows.append((begin, size, previous_row))
                is_unfinished = begin + size < end
                current[lane] = (begin + size, end, len(rows) - 1) if is_unfinished else (*next(waiting, no_user), -1)
        starts, lengths, previous_rows = np.array(rows, np.int64).T
        yield make_window(sequences, starts, lengths, previous_rows)
