"""The order in which a block's events are stepped. Pure.

The users of a block are sorted by their number of events and divided into lanes. A step of a lane takes the next event
of every user of the lane who has one. These users are the first of the lane, so the states that a step returns are the
states of the next step as they are, without a copy by index. The states of a lane also stay in the processor's cache
(docs/decisions.md#history-by-columns).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.engine.planning.waves import Groups

Integers = NDArray[np.int64]

# The most users of a lane. ONNX Runtime takes 1.2 us for an event of the default model in steps of 256 to 1,024 events,
# 2.0 us in steps of 64, and 1.6 us in steps of 4,096, whose states leave the cache.
MOST_USERS = 512
FEWEST_USERS = 64  # where a block has few users, so that every thread has a lane


class Lane(NamedTuple):
    """Users who are stepped together.

    groups: (u,) int64, the places of the users in `Groups.rows`, by falling number of events. start: the place of the
    lane's first event in the order of steps. widths: the number of events of each step, not rising.
    """

    groups: Integers
    start: int
    widths: Sequence[int]


def lanes_of(groups: Groups, threads: int) -> tuple[list[Lane], Integers]:
    """The lanes, and the order of steps: (n,) int64, the positions of the events, lane after lane and step after step.

    threads: the number of lanes that are stepped at once.
    """
    by_length = np.argsort(-groups.lengths, kind="stable")
    size = min(MOST_USERS, max(FEWEST_USERS, -(-len(by_length) // threads)))
    lanes: list[Lane] = []
    befores, firsts = [], np.empty(len(by_length), np.int64)
    place = np.empty(len(by_length), np.int64)
    start = table = 0
    for at in range(0, len(by_length), size):
        members = by_length[at : at + size]
        lengths = groups.lengths[members]
        # counts[k]: the users with exactly k events. So many users have more than k events: the size without those up
        # to k.
        counts = np.bincount(lengths)
        widths = len(members) - np.cumsum(counts[:-1])
        befores.append(start + np.cumsum(widths) - widths)
        firsts[members], place[members] = table, np.arange(len(members))
        lanes.append(Lane(members, start, widths.tolist()))
        table += len(widths)
        start += int(lengths.sum())
    order = np.empty(start, np.int64)
    if lanes:
        group = np.repeat(np.arange(len(groups.lengths)), groups.lengths)
        step = groups.occurrence[groups.order]
        order[np.concatenate(befores)[firsts[group] + step] + place[group]] = groups.order
    return lanes, order
