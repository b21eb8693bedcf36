"""Session-parallel batches (Hidasi et al. 2016): lanes that each walk through one user after another. Free of torch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences, Window, window


def lanes(sequences: Sequences, users: NDArray[np.int64], count: int, steps: int) -> Iterator[Window]:
    """The users' events, by `count` lanes that take at most `steps` events each into a window.

    users: (B,) indices of sequences, in the order in which lanes take them. A lane that has ended a user goes on with
    the next one that waits. A row of a window is one user's part: cells run over whole rows, so the state is new where
    a row begins, unless `before` says of which row of the window before it goes on. Only a user who has more than
    `steps` events comes in several windows, and begins where its lane's window does: a row that goes on is a full one,
    and the state after the window is that after its last event.
    """
    waiting = iter(zip(sequences.starts[users].tolist(), sequences.starts[users + 1].tolist(), strict=True))
    ended = (0, 0)  # what stands for a user when none waits
    at = [(*next(waiting, ended), -1) for _ in range(count)]  # of each lane: first position, end, row before
    while any(begin < end for begin, end, _ in at):
        rows: list[tuple[int, int, int]] = []  # first position, events, row before
        for lane in range(count):
            room = steps
            while at[lane][0] < at[lane][1]:
                begin, end, before = at[lane]
                if room < min(end - begin, steps):
                    break
                size = min(end - begin, steps)
                room -= size
                rows.append((begin, size, before))
                at[lane] = (begin + size, end, len(rows) - 1) if begin + size < end else (*next(waiting, ended), -1)
        starts, lengths, before_row = np.array(rows, np.int64).T
        yield window(sequences, starts, lengths, before_row)
