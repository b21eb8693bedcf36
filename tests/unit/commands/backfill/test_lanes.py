"""The order of steps keeps each user's order, and each step's users are the first of the step before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.planning.columns import lanes
from streams.engine.planning.columns.lanes import lanes_of
from streams.engine.planning.waves import Groups


@given(st.lists(st.integers(0, 300), max_size=2_000), st.integers(1, 4))
def test_steps_hold_each_event_once_and_in_order(users: list[int], threads: int) -> None:
    user = np.array(users, np.int64)
    groups = Groups(user)
    found, order = lanes_of(groups, threads)
    assert sorted(order.tolist()) == list(range(len(user)))
    taken: dict[int, int] = {}
    start = 0
    for lane in found:
        assert lane.start == start
        assert len(lane.groups) <= lanes.MOST_USERS
        of_lane = groups.rows[lane.groups].tolist()
        for width in lane.widths:
            step = order[start : start + width]
            assert user[step].tolist() == of_lane[:width]
            assert all(taken.get(one, -1) < position for one, position in zip(of_lane, step.tolist(), strict=False))
            taken |= zip(of_lane, step.tolist(), strict=False)
            start += width
        assert list(lane.widths) == sorted(lane.widths, reverse=True)
    assert start == len(user)
