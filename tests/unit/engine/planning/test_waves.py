"""Waves of steps, in which each user occurs once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.planning.waves import Groups


@given(st.lists(st.integers(0, 6), max_size=60))
def test_each_wave_holds_a_user_at_most_once_and_events_keep_their_order(rows: list[int]) -> None:
    seen: list[int] = []
    by_user: dict[int, list[int]] = {}
    for wave in Groups(np.array(rows, np.int64)).waves():
        users = [rows[i] for i in wave]
        assert len(set(users)) == len(users)
        seen += wave.tolist()
        for position in wave.tolist():
            by_user.setdefault(rows[position], []).append(position)
    assert sorted(seen) == list(range(len(rows)))
    assert all(positions == sorted(positions) for positions in by_user.values())


def test_there_are_as_many_waves_as_the_busiest_user_has_events() -> None:
    assert len(list(Groups(np.array([0, 1, 0, 2, 0])).waves())) == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), max_size=60))
def test_the_running_maximum_is_that_of_each_user(drawn: list[tuple[int, int]]) -> None:
    groups = Groups(np.array([row for row, _ in drawn], np.int64))
    values = np.array([value for _, value in drawn], np.int64)
    greatest = groups.running_max(values[groups.order])
    for at, position in enumerate(groups.order.tolist()):
        row = drawn[position][0]
        assert greatest[at] == max(value for user, value in drawn[: position + 1] if user == row)
