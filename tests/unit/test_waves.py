import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.waves import waves


@given(st.lists(st.integers(0, 6), max_size=60))
def test_each_wave_holds_a_user_once_and_users_keep_their_order(rows: list[int]) -> None:
    seen: list[int] = []
    by_user: dict[int, list[int]] = {}
    for wave in waves(np.array(rows, np.int64)):
        users = [rows[i] for i in wave]
        assert len(set(users)) == len(users)
        seen += wave.tolist()
        for position in wave.tolist():
            by_user.setdefault(rows[position], []).append(position)
    assert sorted(seen) == list(range(len(rows)))
    assert all(positions == sorted(positions) for positions in by_user.values())


def test_as_many_waves_as_the_busiest_user_has_events() -> None:
    assert len(list(waves(np.array([0, 1, 0, 2, 0])))) == 3
